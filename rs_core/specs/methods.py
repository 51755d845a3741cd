"""The hyper-parameters of the training methods, one record per method; ``jobs.Method`` is their union by ``name``.

Radii and steps are in [0, 1]-pixel l2 units: the public scripts divide their ``--epsilon`` by 256, here it is not done.
Where a paper and its code differ, the default is what produced the published numbers, and the field says so.
Hyper-parameters of whole published runs are in ``presets``.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from radii.rs_core.specs.composition import Scale
from radii.rs_core.specs.fields import (
    MAX_SAMPLES,
    Copies,
    Epsilon,
    Reference,
    Sigma,
    Steps,
    WarmUp,
    Weight,
    record,
    refused,
)


@record
class Gaussian:
    """Gaussian augmentation, Cohen et al. 2019, arXiv 1902.02918: cross-entropy at one noisy copy of each image."""

    name: Literal["gaussian"] = "gaussian"


@record
class Stability:
    """Stability training, Li et al. 2019, arXiv 1809.03113, as the baseline of Jeong et al. has it: cross-entropy at
    the clean image, and the cross-entropy of the noisy prediction against the clean one."""

    name: Literal["stability"] = "stability"
    weight: Annotated[Weight, Field(description="of the stability term (lambda)")] = 2.0


@record
class SmoothAdv:
    """SmoothAdv, Salman et al. 2019, arXiv 1906.04584: cross-entropy at noisy copies of adversarial examples of the
    noise-averaged prediction."""

    name: Literal["smoothadv"] = "smoothadv"
    attack: Annotated[
        Literal["pgd", "ddn"], Field(description="projected gradient descent, or decoupled direction and norm")
    ] = "pgd"
    m: Copies = 4
    steps: Steps = 10
    epsilon: Epsilon = 1.0
    warmup_epochs: Annotated[WarmUp, Field(description="epochs over which epsilon grows to its full size")] = 10
    copies: Annotated[
        Literal["all", "one"],
        Field(
            description="noisy copies that the weights are updated on: all m, in m optimiser steps per batch, or one of "
            "each image, in one step (the original script without --train-multi-noise)"
        ),
    ] = "all"
    ddn_gamma: Annotated[
        float, Field(gt=0, lt=1, description="by which DDN changes the norm of the perturbation in each step")
    ] = 0.05


@record
class Macer:
    """MACER, Zhai et al. 2020, arXiv 2001.02378: cross-entropy of the noise-averaged prediction, and a hinge on a soft
    certified radius."""

    name: Literal["macer"] = "macer"
    m: Annotated[Copies, Field(description="noise samples per training image and step (k)")] = 16
    weight: Annotated[Weight, Field(description="of the robustness loss (lambda)")] = 12.0
    beta: Annotated[float, Field(gt=0, le=1e4, description="inverse temperature of the robustness loss")] = 16.0
    margin: Annotated[
        float, Field(gt=0, le=1e4, description="of the hinge (gamma), on the difference of two normal quantiles")
    ] = 8.0
    deferred: Annotated[
        bool, Field(description="no robustness loss until the first drop of the learning rate has reached training")
    ] = False


@record
class AttackFirst:
    """SmoothAdv's PGD before the loss of another method, with the noise of that loss."""

    steps: Steps = 10
    epsilon: Epsilon = 1.0
    warmup_epochs: Annotated[WarmUp, Field(description="epochs over which epsilon grows to its full size")] = 10


@record
class Consistency:
    """Consistency regularisation, Jeong and Shin 2020, arXiv 2006.04062: cross-entropy at m noisy copies, their
    divergence from their mean prediction, and the entropy of that mean."""

    name: Literal["consistency"] = "consistency"
    m: Copies = 2
    weight: Annotated[Weight, Field(description="of the divergence (lambda)")] = 10.0
    eta: Annotated[Weight, Field(description="of the entropy of the mean prediction; used by kl_entropy only")] = 0.5
    form: Annotated[
        Literal["kl_entropy", "cross_entropy", "kl", "mse"],
        Field(
            description="kl_entropy: the published loss; cross_entropy: the same with eta = weight (use about 3); "
            "kl: without entropy; mse: squared difference of the first two copies"
        ),
    ] = "kl_entropy"
    attack: Annotated[
        AttackFirst | None, Field(description="train on SmoothAdv's adversarial examples; null: on the images")
    ] = None

    @model_validator(mode="after")
    def _two_copies(self) -> "Consistency":
        if self.form == "mse" and self.m < 2:
            raise ValueError("m of at least 2, since form = mse compares two copies")
        return self


@record
class SmoothMix:
    """SmoothMix, Jeong et al. 2021, arXiv 2111.09277: mixup between an image and its unrestricted adversarial example
    of the smoothed classifier, towards the uniform prediction."""

    name: Literal["smoothmix"] = "smoothmix"
    m: Copies = 2
    steps: Steps = 4
    step_size: Annotated[float, Field(gt=0, le=1e4, description="l2 length of one attack step (alpha)")] = 1.0
    eta: Annotated[Weight, Field(description="of the mixup loss")] = 5.0
    mix_step: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="which iterate of the attack stands in for the image, in mixup and cross-entropy: 0 the image "
            "itself, 1 the one-step adversary. Not before the last step, or it stays the image",
        ),
    ] = 0
    one_step_radius: Annotated[
        Literal["warmed_up", "full"],
        Field(
            description="l2 ball for that iterate: step_size * mix_step, times the warm-up (the public code, behind the "
            "published numbers), or at its full size from the first epoch (the paper)"
        ),
    ] = "warmed_up"
    warmup_epochs: Annotated[WarmUp, Field(description="epochs over which the mixup loss grows to its full weight")] = (
        10
    )
    max_norm: Annotated[
        Epsilon | None, Field(description="l2 ball for the adversarial example; null: none, as published")
    ] = None
    target: Annotated[
        Literal["attached", "detached"],
        Field(description="whether gradients flow through the mixed target; they do in the public code"),
    ] = "attached"
    mix_loss: Annotated[
        Literal["kl", "cross_entropy"],
        Field(description="between mixed target and prediction: divergence in the public code"),
    ] = "kl"


@record
class CatRs:
    """CAT-RS, Jeong, Kim and Shin 2023, arXiv 2212.09000: the lowest of m cross-entropies, as many as the image's
    confidence allows, and the divergence under the worst noise where the confidence is full.

    It needs soft labels: the votes of a classifier trained under Gaussian noise of 0.25, for each training image.
    """

    name: Literal["cat_rs"] = "cat_rs"
    m: Copies = 4
    steps: Steps = 4
    epsilon: Annotated[Epsilon, Field(description="radius of the attack on the noise, l2, in [0, 1]-pixel units")] = 1.0
    epsilon_doubles_at: Annotated[
        int | None, Field(ge=0, description="epoch, from 0, from which on epsilon is twice as large; null: never")
    ] = None
    weight: Annotated[Weight, Field(description="of the worst-case term (lambda)")] = 1.0
    kl: Annotated[
        Literal["labels_first", "prediction_first"],
        Field(
            description="KL(soft label || prediction), as in the public code, or KL(prediction || soft label), as in "
            "print; the latter raises zeros of the soft labels to 1e-20"
        ),
    ] = "labels_first"
    confidence: Annotated[
        Literal["votes", "soft_labels"],
        Field(
            description="of an image: share of its m noisy copies classified right, or the soft label of its class "
            "(published for ImageNet, where training starts cold)"
        ),
    ] = "votes"
    masked_attacks: Annotated[
        Literal["auto", "skip", "all"],
        Field(
            description="attack images that the worst-case term leaves out: skip saves time and changes nothing unless "
            "the network has batch normalisation, whose statistics see these copies; all is the public code; auto skips "
            "where nothing changes"
        ),
    ] = "auto"
    soft_labels: Annotated[
        Reference | None, Field(description="a soft_labels job, or a file of one; null: made, or found, by itself")
    ] = None
    soft_label_n: Annotated[int, Field(ge=1, le=MAX_SAMPLES, description="votes per training image")] = 10_000
    soft_label_sigma: Annotated[Sigma, Field(description="noise level of the classifier that votes")] = 0.25
    soft_label_checkpoint: Annotated[
        Reference | None,
        Field(description="the classifier that votes; null: one trained with this job's settings under Gaussian noise"),
    ] = None
    soft_label_view: Annotated[
        Literal["augmented", "plain"],
        Field(
            description="augmented: votes on one augmented view of each image, as the public code has it; plain: on the "
            "image"
        ),
    ] = "augmented"


Share = Annotated[float, Field(ge=0, le=1)]
OF_START = "null: that of start_from"
OF_MIXING = f"{OF_START}, where it has a mixing network, else"


@record
class AdaptiveSmoothing:
    """Adaptive Smoothing, Bai et al. 2023, arXiv 2301.12554: the network that gives each input a weight of its own in a mix of a
    standard and a robust classifier learns to tell attacked inputs from clean ones; the classifiers stay as they are.

    ``start_from`` is the mix, composed with a constant weight or trained before. Weights of the loss and of the attack are those
    published for the CIFAR-10 model of 95.23 % clean accuracy; those for CIFAR-100 are presets.
    """

    name: Literal["adaptive_smoothing"] = "adaptive_smoothing"
    bce_weight: Annotated[
        Weight,
        Field(description="of the binary cross-entropy between gamma and whether the input was attacked (c_bce)"),
    ] = 1.5
    ce_weight: Annotated[Weight, Field(description="of the cross-entropy of the mix (c_ce)")] = 0.0
    product_weight: Annotated[Weight, Field(description="of the product of both (c_prod)")] = 0.3
    clean_scale: Annotated[
        Weight, Field(description="of all terms of clean copies; the published one is not known")
    ] = 1.0
    attacked_scale: Annotated[Weight, Field(description="of all terms of attacked copies")] = 1.0
    extra_clean: Annotated[
        int,
        Field(
            ge=0,
            le=1024,
            description="clean copies of each image beside the first, as many as balance the attacked ones",
        ),
    ] = 9
    attacked: Annotated[int, Field(ge=1, le=1024, description="attacked copies of each image")] = 10
    epsilon: Annotated[float, Field(ge=0, le=1, description="attack radius, l_inf, in [0, 1]-pixel units")] = 8 / 255
    epsilon_range: Annotated[
        tuple[Annotated[float, Field(ge=0, le=100)], Annotated[float, Field(ge=0, le=100)]],
        Field(description="each attacked image has epsilon times a uniform number between these"),
    ] = (0.4, 1.1)
    steps: Annotated[
        int,
        Field(
            ge=1, le=1000, description="steps of the attack, or their mean (T); published is 75, of a stronger attack"
        ),
    ] = 20
    step_count: Annotated[
        Literal["chi_squared", "fixed"],
        Field(
            description="chi_squared: drawn for each copy, with that many degrees of freedom (published); fixed: always T"
        ),
    ] = "chi_squared"
    gamma_share: Annotated[
        Share,
        Field(
            description="u ~ U(0, this): share of the attack that goes against gamma, the rest against the prediction"
        ),
    ] = 0.4
    gamma_scale: Annotated[
        float | None, Field(ge=-1e4, le=1e4, description=f"gamma is multiplied by it; {OF_MIXING} 1")
    ] = None
    gamma_bias: Annotated[float | None, Field(ge=-1e4, le=1e4, description=f"and this is added; {OF_MIXING} 0")] = None
    least_weight: Annotated[
        Share | None, Field(description=f"of the robust classifier, outside of training; {OF_MIXING} 0")
    ] = None
    largest_weight: Annotated[Share | None, Field(description=f"the same; {OF_MIXING} 1")] = None
    standard_scale: Annotated[Scale | None, Field(description=f"of the standard classifier's logits; {OF_START}")] = (
        None
    )
    robust_scale: Annotated[Scale | None, Field(description=f"of the robust classifier's logits; {OF_START}")] = None

    @model_validator(mode="after")
    def _goes_together(self) -> "AdaptiveSmoothing":
        if self.bce_weight == self.ce_weight == self.product_weight == 0:
            raise refused("bce_weight", "a weight above 0 for one of the terms", "0 for all three")
        low, high = self.epsilon_range
        if low > high:
            raise refused("epsilon_range", "the smaller number first", f"{low:g}, {high:g}")
        least, largest = self.least_weight, self.largest_weight
        if least is not None and largest is not None and least > largest:
            raise refused("least_weight", f"at most the largest weight, {largest:g}", f"{least:g}")
        return self
