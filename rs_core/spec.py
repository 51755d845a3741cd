"""Every knob of the product: what a job is, in records that the library, the HTTP body, a TOML or JSON file and the
database column share.

The records are frozen and keyword-only, and an unknown field is an error. Each field says its unit and, where a paper
set it, its source. Names on the server are identifiers (``ds_...``, ``ckpt_...``); in a local file they are paths.

Cohen et al. 2019 is "Certified Adversarial Robustness via Randomized Smoothing", arXiv 1902.02918. Published settings
of the Jeong et al. line of work (arXiv 2006.04062, 2111.09277, 2212.09000) are called "published" below.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from rs_core.errors import InvalidSpec
from rs_core.faults import fault
from rs_core.fields import MAX_ALPHA as MAX_ALPHA
from rs_core.fields import (
    MAX_SAMPLES,
    MAX_SEED,
    Alpha,
    Bound,
    Noise,
    Precision,
    Reference,
    Sampling,
    Seed,
    Sigma,
    record,
    refused,
)
from rs_core.method_spec import AttackFirst, CatRs, Consistency, Gaussian, Macer, SmoothAdv, SmoothMix, Stability

__all__ = [
    "DEFAULT_BATCH",
    "MAX_ALPHA",
    "MAX_SAMPLES",
    "MAX_SEED",
    "Alpha",
    "AttackFirst",
    "CatRs",
    "CertifySpec",
    "Consistency",
    "Gaussian",
    "JobSpec",
    "Macer",
    "Method",
    "Normalization",
    "NormalizationChoice",
    "PeriodicCertification",
    "PredictSpec",
    "Reference",
    "Seed",
    "Selection",
    "Sigma",
    "SmoothAdv",
    "SmoothMix",
    "SoftLabelSpec",
    "Spec",
    "Stability",
    "TrainSpec",
    "VerifySpec",
    "dump_spec",
    "invalid_spec",
    "normalization",
    "parse_spec",
    "record",
]

DEFAULT_BATCH = 100
"""Noise samples per forward pass where nobody chose: as many as one part of a noise stream has."""


@record
class Selection:
    """Which inputs of a data set a job looks at: ``start, start + step, ...``, at most ``count`` of them."""

    start: Annotated[int, Field(ge=0, description="index of the first input")] = 0
    step: Annotated[int, Field(ge=1, description="every step-th input; 20 on CIFAR-10 gives Cohen's 500 images")] = 1
    count: Annotated[int | None, Field(ge=1, description="at most this many inputs; null for all")] = None

    def indices(self, size: int) -> range:
        """The chosen indices of a data set of ``size`` inputs."""
        every = range(self.start, size, self.step)
        return every if self.count is None else every[: self.count]


@record
class Normalization:
    """Per-channel affine map inside the model, after the noise: ``(x - mean) / std``, in [0, 1]-pixel units."""

    mean: Annotated[tuple[float, ...], Field(min_length=1, max_length=64)]
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _same_length(self) -> "Normalization":
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean and std must have one entry per channel each, got {len(self.mean)} and {len(self.std)}"
            )
        return self


NORMALIZATIONS: dict[str, Normalization | None] = {
    "none": None,
    "cifar10": Normalization(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010)),
    "cifar100": Normalization(mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761)),
    "imagenet": Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
}

NormalizationChoice = Annotated[
    Literal["none", "cifar10", "cifar100", "imagenet"] | Normalization,
    Field(description="first layer of the model, after the noise; by name or as mean and std per channel"),
]


def normalization(choice: str | Normalization) -> Normalization | None:
    """The record behind a choice; ``None`` is the identity."""
    return NORMALIZATIONS[choice] if isinstance(choice, str) else choice


Method = Annotated[
    Gaussian | Stability | SmoothAdv | Macer | Consistency | SmoothMix | CatRs,
    Field(discriminator="name", description="the training method and its hyper-parameters, chosen by its name"),
]


@record
class PeriodicCertification:
    """A small certification on the test data set during training, which goes on as if it had not been.

    Its noise is its own: a certify job draws other noise, whatever its seed.
    """

    every: Annotated[int, Field(ge=1, le=10_000, description="after every so many epochs, and after the last one")] = 10
    inputs: Annotated[
        Selection | None, Field(description="which inputs of the test data set; null: about 100, evenly spaced")
    ] = None
    n0: Annotated[int, Field(ge=1, le=MAX_SAMPLES, description="noise samples for selection")] = 100
    n: Annotated[int, Field(ge=1, le=MAX_SAMPLES, description="noise samples for estimation")] = 1_000
    alpha: Alpha = 0.001

    def indices(self, size: int) -> range:
        """The chosen indices of a test data set of ``size`` inputs."""
        return (self.inputs or Selection(step=max(1, size // 100), count=100)).indices(size)


@record
class TrainSpec:
    """Train a base classifier under noise. The schedule is by default that of CIFAR-10 as published; whole published
    settings are presets."""

    kind: Literal["train"] = "train"
    dataset: Reference
    test_dataset: Annotated[Reference | None, Field(description="for accuracy under noise after each epoch")] = None
    inputs: Annotated[Selection, Field(description="which inputs of the data set to train on")] = Selection()
    architecture: Annotated[str, Field(min_length=1, max_length=100, description="a name of the architectures table")]
    normalization: NormalizationChoice = "none"
    method: Method = Gaussian()
    sigma: Sigma
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 150
    batch_size: Annotated[int, Field(ge=1, le=65_536, description="images per loader batch")] = 256
    learning_rate: Annotated[float, Field(gt=0, le=100)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    lr_step: Annotated[int, Field(ge=1, description="epochs between two drops of the learning rate")] = 50
    lr_gamma: Annotated[float, Field(gt=0, le=1, description="factor of one drop")] = 0.1
    lr_drop: Annotated[
        Literal["published", "exact"],
        Field(
            description="published: each drop reaches training one epoch late, as in the released logs; exact: on time"
        ),
    ] = "published"
    augmentation: Annotated[
        Literal["none", "crop_flip", "resized_crop_flip"],
        Field(
            description="crop_flip: random crop after 4 pixels of zero padding, then a mirror image with p = 1/2 "
            "(published for CIFAR); resized_crop_flip: a random part of the image, resized, then the same (ImageNet)"
        ),
    ] = "none"
    crop_size: Annotated[
        int | None,
        Field(
            ge=1,
            le=4096,
            description="side of what resized_crop_flip gives, in pixels; null: the images' own. Test images have it",
        ),
    ] = None
    start_from: Annotated[
        Reference | None,
        Field(description="checkpoint to fine-tune; its last layer starts anew where the classes differ in number"),
    ] = None
    keep: Annotated[
        Literal["last", "test_accuracy", "acr", "loss"],
        Field(
            description="weights that the checkpoint holds: of the last epoch (published), or of the epoch best in "
            "accuracy under noise on the test data set, in the periodic certification's ACR, or in training loss (which "
            "warm-ups and deferred terms raise, so that an early epoch may win)"
        ),
    ] = "last"
    certification: Annotated[
        PeriodicCertification | None, Field(description="a small certification every so many epochs; null: none")
    ] = None
    precision: Annotated[
        Precision, Field(description="of the forward and backward passes; weights and losses are fp32")
    ] = "fp32"
    memory_format: Annotated[
        Literal["contiguous", "channels_last"], Field(description="order of the activations in memory")
    ] = "contiguous"
    forward_batch: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_000_000,
            description="keep the activations of at most so many noisy images, and compute the others again for the "
            "gradient: less memory, more time, the same mathematics; a network with batch normalisation sees them all at "
            "once and keeps the input of each block, whatever the number; null: keep all",
        ),
    ] = None
    loader_processes: Annotated[
        int, Field(ge=0, le=64, description="processes that read and augment images ahead; 0: none. No result changes")
    ] = 0
    seed: Seed = 0

    @model_validator(mode="after")
    def _complete(self) -> "TrainSpec":
        needs_test = self.certification is not None or self.keep == "test_accuracy"
        if needs_test and self.test_dataset is None:
            raise ValueError("a test_dataset, for the certification or the accuracy that is asked for")
        if self.keep == "acr" and self.certification is None:
            raise ValueError("a periodic certification, by which keep = acr goes")
        if self.crop_size is not None and self.augmentation != "resized_crop_flip":
            raise ValueError("augmentation = resized_crop_flip, since there is a crop_size")
        return self


ModelSigma = Annotated[
    Sigma | None, Field(description="null: the noise level that the checkpoint was trained with, if it says")
]
SampleBatch = Annotated[
    int | None,
    Field(
        ge=1,
        le=65_536,
        description="noise samples per forward pass, at most: whole hundreds of them, or a whole part of one; null: chosen "
        "at the first claim, then fixed",
    ),
]


@record
class CertifySpec:
    """Class, radius and all class counts of each chosen input: CERTIFY of Cohen et al. 2019 by default, and procedures
    that are as sound and need fewer noise samples.

    ``bound = two_class`` goes with ``sampling = fixed`` and ``pilot``; ``radii`` belong to ``at_radii``, and to it alone.
    """

    kind: Literal["certify"] = "certify"
    checkpoint: Reference
    dataset: Reference
    inputs: Selection = Selection()
    sigma: ModelSigma = None
    sampling: Annotated[
        Sampling,
        Field(
            description="fixed: n samples for each input, as papers have it: for tables to be laid beside theirs. "
            "pilot: full radii for about a third of the samples, at about 1 % less ACR: a short pilot gives each input "
            "its own size of at most n. at_radii: certified accuracy at the radii asked for, 20 to 50 times fewer samples: "
            "an input ends when it is settled at all of them, so that its radius is a lower bound, stopped early. anytime: "
            "all inputs advance together and every certificate holds at any moment, so that a running or cancelled job "
            "has a valid report; the price is a bound a little smaller than that of fixed"
        ),
    ] = "fixed"
    radii: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...] | None,
        Field(
            min_length=1,
            max_length=64,
            description="where at_radii is to settle whether each input is certified: l2 radii, in [0, 1]-pixel units",
        ),
    ] = None
    bound: Annotated[
        Bound,
        Field(
            description="one_sided: the other classes get all that the bound on the certified one leaves (Cohen et al., as "
            "in papers). two_class: every other class is bounded too, which certifies more where no class has most of the "
            "votes, and a hair less where one has all of them"
        ),
    ] = "one_sided"
    noise: Annotated[
        Noise,
        Field(
            description="gaussian: in float32, on any image. discrete: the same noise rounded to whole steps of 1/255 and "
            "drawn exactly, for images of 8 bits: certificates hold on that grid and are out of reach of attacks on "
            "floating-point rounding"
        ),
    ] = "gaussian"
    guarantee: Annotated[
        Literal["per_input", "dataset"],
        Field(
            description="per_input: each certificate is wrong with probability at most alpha. dataset: all certificates of "
            "the job hold together with probability at least 1 - alpha; each is made at alpha / inputs"
        ),
    ] = "per_input"
    n0: Annotated[
        int,
        Field(ge=1, le=MAX_SAMPLES, description="noise samples for selection; of a pilot, its first stage in hundreds"),
    ] = 100
    n: Annotated[
        int, Field(ge=1, le=MAX_SAMPLES, description="noise samples for estimation; but for fixed, the most of them")
    ] = 100_000
    alpha: Alpha = 0.001
    precision: Annotated[
        Precision,
        Field(
            description="of the forward passes. The certificate is about the network as run: bf16 is another function"
        ),
    ] = "fp32"
    seed: Seed = 0
    batch_size: SampleBatch = None

    @model_validator(mode="after")
    def _allowed(self) -> "CertifySpec":
        if self.bound == "two_class" and self.sampling in ("at_radii", "anytime"):
            allowed = "one_sided with at_radii and anytime, one_sided or two_class with fixed and pilot"
            raise refused("bound", allowed, f"two_class with {self.sampling}")
        if self.sampling == "at_radii" and self.radii is None:
            raise refused("radii", "the radii at which at_radii is to settle each input", "none")
        if self.sampling != "at_radii" and self.radii is not None:
            raise refused("radii", "none, but with sampling = at_radii", f"radii with {self.sampling}")
        return self

    def alpha_per_input(self, inputs: int) -> float:
        """The failure probability of each of so many certificates."""
        return self.alpha / inputs if self.guarantee == "dataset" else self.alpha


@record
class PredictSpec:
    """PREDICT of Cohen et al. 2019 on each chosen input: class or abstention."""

    kind: Literal["predict"] = "predict"
    checkpoint: Reference
    dataset: Reference
    inputs: Selection = Selection()
    sigma: ModelSigma = None
    n: Annotated[int, Field(ge=1, le=MAX_SAMPLES, description="noise samples")] = 1_000
    alpha: Alpha = 0.001
    seed: Seed = 0
    batch_size: SampleBatch = None


@record
class SoftLabelSpec:
    """Votes of a base classifier under noise on each chosen input of a training set: the soft labels of CAT-RS
    (arXiv 2212.09000) are their frequencies."""

    kind: Literal["soft_labels"] = "soft_labels"
    checkpoint: Reference
    dataset: Reference
    inputs: Selection = Selection()
    sigma: ModelSigma = None
    n: Annotated[int, Field(ge=1, le=MAX_SAMPLES, description="votes per input")] = 10_000
    augmentation: Annotated[
        Literal["none", "crop_flip", "resized_crop_flip"],
        Field(
            description="votes are on one augmented view of each input, as the public code has it; none: on the input"
        ),
    ] = "none"
    crop_size: Annotated[int | None, Field(ge=1, le=4096, description="as in a training job")] = None
    seed: Seed = 0
    batch_size: SampleBatch = None


@record
class VerifySpec:
    """An audit of a certify job: every radius is computed again from its counts, and the noise of some inputs, chosen at
    random, is drawn again and their counts compared. The answer is in the job's ``output``."""

    kind: Literal["verify"] = "verify"
    job: Annotated[str, Field(min_length=1, max_length=100, description="the certify job, which may still be running")]
    inputs: Annotated[int, Field(ge=1, le=10_000, description="inputs whose noise is drawn again")] = 20
    seed: Annotated[
        int | None, Field(ge=0, le=MAX_SEED, description="of their choice; null: one that nobody knows beforehand")
    ] = None


Spec = TrainSpec | CertifySpec | PredictSpec | SoftLabelSpec | VerifySpec
JobSpec = Annotated[Spec, Field(discriminator="kind")]
_JOB_SPEC: TypeAdapter[Spec] = TypeAdapter(JobSpec)
_RECORDS = (TrainSpec, CertifySpec, PredictSpec, SoftLabelSpec, VerifySpec)


def parse_spec(body: dict[str, Any]) -> Spec:
    """The record that ``body`` (JSON-like) describes, by its ``kind``; :class:`InvalidSpec` names every wrong field."""
    try:
        return _JOB_SPEC.validate_python(body)
    except ValidationError as error:
        raise invalid_spec(error) from None


def dump_spec(spec: Any) -> dict[str, Any]:
    """The JSON-like body of any record here; ``parse_spec(dump_spec(s)) == s`` for job specs."""
    body: dict[str, Any] = TypeAdapter(type(spec)).dump_python(spec, mode="json")
    return body


def invalid_spec(error: ValidationError, *, placed: bool = False) -> InvalidSpec:
    """One sentence out of pydantic's list: for each wrong field, what was expected and what came.

    ``where`` names the fields; where there are several, or with ``placed``, each part of the sentence does so too.
    """
    found = [fault(dict(item), _RECORDS) for item in error.errors(include_url=False)]
    if len(found) == 1 and not placed:
        return InvalidSpec(expected=found[0]["expected"], got=found[0]["got"], where=found[0]["location"] or None)
    places = [item["location"] or "the body" for item in found]
    return InvalidSpec(
        expected="; ".join(f"{place}: {item['expected']}" for place, item in zip(places, found, strict=True)),
        got="; ".join(f"{place} = {item['got']}" for place, item in zip(places, found, strict=True)),
        where=", ".join(dict.fromkeys(places)),
    )
