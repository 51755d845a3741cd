"""Every knob of a training job. Records of other jobs, and the choice among all of them, are in ``jobs``; those of training
methods in ``methods``.

Published settings of the Jeong et al. line of work (arXiv 2006.04062, 2111.09277, 2212.09000) are called "published" below.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import ArgsKwargs

from radii.rs_core.specs.fields import (
    IMAGES,
    JOB,
    LEARNING_RATE,
    MACHINE,
    MAX_SAMPLES,
    NETWORK,
    Alpha,
    AnyJob,
    Flag,
    NormalizationChoice,
    Precision,
    Reference,
    Seed,
    Selection,
    Sigma,
    record,
    refused,
)
from radii.rs_core.specs.methods import (
    AdaptiveSmoothing,
    CatRs,
    Consistency,
    Gaussian,
    Macer,
    SmoothAdv,
    SmoothMix,
    Stability,
)

Method = Annotated[
    Gaussian | Stability | SmoothAdv | Macer | Consistency | SmoothMix | CatRs | AdaptiveSmoothing,
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


def trains_a_mix(method: Any) -> bool:
    """Whether a method, as a record or as JSON, is that of a mixing network."""
    name = method.get("name") if isinstance(method, Mapping) else getattr(method, "name", None)
    return name == AdaptiveSmoothing.name


@record
class TrainSpec(AnyJob):
    """Train a base classifier under noise. The schedule is by default that of CIFAR-10 as published; whole published
    settings are presets.

    ``adaptive_smoothing`` trains the mixing network of a mix, ``start_from``, instead: what is said of the architecture and the
    normalisation is there, and ``sigma`` may be left out, too.
    """

    kind: Literal["train"] = "train"
    dataset: Annotated[
        Reference,
        Flag(
            JOB,
            "Dataset: `digits`, or files: an .npz, idx or CIFAR .bin files (joined by commas), a CIFAR .tar.gz, .npy files of CIFAR-10-C (joined by commas, labels.npy among them), a zip of class folders; photos.zip@256/224 resizes its photographs to a shorter side of 256 pixels and cuts 224x224 from the middle.",
            metavar="DATA",
        ),
    ]
    test_dataset: Annotated[
        Reference | None,
        Field(description="for accuracy under noise after each epoch"),
        Flag(JOB, "Dataset for accuracy under noise after each epoch.", metavar="DATA", unset="none"),
    ] = None
    inputs: Annotated[Selection, Field(description="which inputs of the data set to train on")] = Selection()
    architecture: Annotated[
        Annotated[str, Field(min_length=1, max_length=100)] | None,
        Field(description="a name of the architectures table; null: with adaptive_smoothing, that of start_from"),
        Flag(
            NETWORK,
            "Network: `radii architectures` lists them.",
            metavar="NAME",
            unset="the preset's; without one it is needed",
        ),
    ]
    normalization: Annotated[
        NormalizationChoice,
        Flag(NETWORK, "First layer of the model, after the noise: none, cifar10, cifar100 or imagenet."),
    ] = "none"
    method: Annotated[
        Method,
        Flag(
            NETWORK,
            "Training method: `radii methods` lists them with their hyper-parameters, --set changes those, and `radii presets` shows what was published with which.",
            metavar="NAME",
            unset="gaussian",
        ),
    ] = Gaussian()
    sigma: Annotated[
        Sigma | None,
        Field(description="null: no noise, with adaptive_smoothing, as published"),
        Flag(
            JOB,
            "Noise level: standard deviation, in [0, 1]-pixel units.",
            unset="the preset's; without one it is needed",
        ),
    ]
    epochs: Annotated[int, Field(ge=1, le=10_000), Flag(NETWORK, "Passes over the training inputs.")] = 150
    batch_size: Annotated[
        int, Field(ge=1, le=65_536, description="images per loader batch"), Flag(NETWORK, "Images per loader batch.")
    ] = 256
    optimizer: Annotated[
        Literal["sgd", "adamw"],
        Field(description="sgd with momentum (published), or AdamW, whose decay is decoupled"),
        Flag(LEARNING_RATE, "sgd, with momentum, or adamw."),
    ] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, le=100), Flag(LEARNING_RATE, "Learning rate of the first epochs.")] = (
        0.1
    )
    momentum: Annotated[float, Field(ge=0, lt=1, description="of sgd"), Flag(LEARNING_RATE, "Momentum of SGD.")] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1), Flag(LEARNING_RATE, "Weight decay, on all parameters.")] = 1e-4
    clip_norm: Annotated[
        float | None,
        Field(gt=0, le=1e6, description="the gradient of a step is shortened to this l2 norm; null: never"),
        Flag(LEARNING_RATE, "Largest l2 norm of a step's gradient.", unset="none"),
    ] = None
    schedule: Annotated[
        Literal["step", "cosine"],
        Field(
            description="of the learning rate. step: drops, by lr_step, lr_gamma and lr_drop; cosine: half a cosine over the "
            "whole training, down to 0, from one optimiser step to the next"
        ),
        Flag(LEARNING_RATE, "Of the learning rate: step, with drops, or cosine, down to 0."),
    ] = "step"
    lr_warmup: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="share of all optimiser steps after which the rate has come to 1 - 1/e of what the schedule says, "
            "exponentially: at step t (from 1) of T it is 1 - exp(-t / (lr_warmup T)) of it; 0: none",
        ),
        Flag(LEARNING_RATE, "Share of all steps over which the rate warms up, such as 0.04."),
    ] = 0.0
    lr_step: Annotated[
        int,
        Field(ge=1, description="epochs between two drops of the learning rate"),
        Flag(LEARNING_RATE, "Epochs between two drops of the learning rate."),
    ] = 50
    lr_gamma: Annotated[
        float, Field(gt=0, le=1, description="factor of one drop"), Flag(LEARNING_RATE, "Factor of one drop.")
    ] = 0.1
    lr_drop: Annotated[
        Literal["published", "exact"],
        Field(
            description="published: each drop reaches training one epoch late, as in the released logs; exact: on time"
        ),
        Flag(LEARNING_RATE, "When a drop comes: published, one epoch late as in the released logs, or exact."),
    ] = "published"
    augmentation: Annotated[
        Literal["none", "crop_flip", "resized_crop_flip"],
        Field(
            description="crop_flip: random crop after 4 pixels of zero padding, then a mirror image with p = 1/2 "
            "(published for CIFAR); resized_crop_flip: a random part of the image, resized, then the same (ImageNet)"
        ),
        Flag(
            IMAGES,
            "none; crop_flip: random crops after 4 pixels of padding, then mirror images; or resized_crop_flip: random parts, resized, then mirror images.",
        ),
    ] = "none"
    crop_size: Annotated[
        int | None,
        Field(
            ge=1,
            le=4096,
            description="side of what resized_crop_flip gives, in pixels; null: the images' own. Test images have it",
        ),
        Flag(IMAGES, "Side of what resized_crop_flip gives, in pixels.", unset="the images' own"),
    ] = None
    start_from: Annotated[
        Reference | None,
        Field(description="checkpoint to fine-tune; its last layer starts anew where the classes differ in number"),
        Flag(
            NETWORK,
            "Checkpoint to fine-tune; its last layer starts anew where the classes differ in number.",
            metavar="FILE",
            unset="none",
        ),
    ] = None
    keep: Annotated[
        Literal["last", "test_accuracy", "acr", "loss"],
        Field(
            description="weights that the checkpoint holds: of the last epoch (published), or of the epoch best in "
            "accuracy under noise on the test data set, in the periodic certification's ACR, or in training loss (which "
            "warm-ups and deferred terms raise, so that an early epoch may win)"
        ),
        Flag(
            NETWORK,
            "Weights of the checkpoint: of the last epoch, or of the best in test_accuracy, acr (of the certification, see --set) or loss.",
        ),
    ] = "last"
    certification: Annotated[
        PeriodicCertification | None, Field(description="a small certification every so many epochs; null: none")
    ] = None
    precision: Annotated[
        Precision,
        Field(description="of the forward and backward passes; weights and losses are fp32"),
        Flag(MACHINE, "Of the forward and backward passes: fp32 or bf16."),
    ] = "fp32"
    memory_format: Annotated[
        Literal["contiguous", "channels_last"],
        Field(description="order of the activations in memory"),
        Flag(MACHINE, "Order of the activations: contiguous or channels_last."),
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
        Flag(
            MACHINE,
            "Keep the activations of so many noisy images and compute the others again: less memory, more time, the same mathematics.",
            unset="keep all",
        ),
    ] = None
    loader_processes: Annotated[
        int,
        Field(ge=0, le=64, description="processes that read and augment images ahead; 0: none. No result changes"),
        Flag(MACHINE, "Processes that read and augment images ahead; no result changes."),
    ] = 0
    seed: Seed = 0

    @property
    def pinned(self) -> bool:
        """A training is."""
        return True

    @property
    def execution(self) -> dict[str, Any]:
        """The precision."""
        return {"precision": self.precision}

    @model_validator(mode="before")
    @classmethod
    def _of_a_mix(cls, given: Any) -> Any:
        """What a mix says itself, or is trained without, need not be said."""
        fields = given.kwargs if isinstance(given, ArgsKwargs) else given
        if not isinstance(fields, Mapping) or not trains_a_mix(fields.get("method")):
            return given
        return {"architecture": None, "sigma": None, **fields}

    @model_validator(mode="after")
    def _one_network(self) -> "TrainSpec":
        if trains_a_mix(self.method):
            self._fits_a_mix()
        elif self.architecture is None:
            raise refused("architecture", "a name of the architectures table", "null")
        elif self.sigma is None:
            raise refused(
                "sigma", "a number above 0, the noise level, without which only adaptive_smoothing trains", "null"
            )
        return self

    def _fits_a_mix(self) -> None:
        if self.start_from is None:
            raise refused(
                "start_from", "a mix of a standard and a robust classifier, whose weight is to be learned", None
            )
        if self.architecture is not None:
            raise refused("architecture", "none, since the networks are those of start_from", self.architecture)
        if self.normalization != "none":
            raise refused("normalization", "none, since the parts of start_from have their own", self.normalization)
        if self.certification is not None and self.sigma is None:
            raise refused("sigma", "a noise level, for the certification that is asked for", "none")

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
