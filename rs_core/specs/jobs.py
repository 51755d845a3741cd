"""Every knob of the product: what a job is, in records that the library, the HTTP body, a TOML or JSON file and the
database column share.

The records are frozen and keyword-only, and an unknown field is an error. Each field says its unit and, where a paper
set it, its source. Names on the server are identifiers (``ds_...``, ``ckpt_...``); in a local file they are paths.

Cohen et al. 2019 is "Certified Adversarial Robustness via Randomized Smoothing", arXiv 1902.02918. Published settings
of the Jeong et al. line of work (arXiv 2006.04062, 2111.09277, 2212.09000) are called "published" below.
"""

from dataclasses import replace
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from radii.rs_core.errors import InvalidSpec
from radii.rs_core.specs.evaluations import Attack, AutoAttack, EvaluationSettings, OverConfidence
from radii.rs_core.specs.fields import (
    IMAGES,
    JOB,
    MAX_SAMPLES,
    MAX_SEED,
    SAMPLING,
    Alpha,
    AnyJob,
    Bound,
    Flag,
    Noise,
    Normalization,
    NormalizationChoice,
    Precision,
    Reference,
    RobustWeight,
    Sampling,
    Seed,
    Selection,
    Sigma,
    normalization,
    record,
    refused,
)
from radii.rs_core.specs.fields import MAX_ALPHA as MAX_ALPHA
from radii.rs_core.specs.methods import (
    AdaptiveSmoothing,
    AttackFirst,
    CatRs,
    Consistency,
    Gaussian,
    Macer,
    SmoothAdv,
    SmoothMix,
    Stability,
)
from radii.rs_core.specs.training import Method, PeriodicCertification, TrainSpec
from radii.rs_core.specs.validation_errors import first_faults

__all__ = [
    "DEFAULT_BATCH",
    "MAX_ALPHA",
    "MAX_SAMPLES",
    "MAX_SEED",
    "AdaptiveSmoothing",
    "Alpha",
    "Attack",
    "AttackFirst",
    "AutoAttack",
    "CatRs",
    "CertifySpec",
    "Consistency",
    "EvaluateSpec",
    "Evaluation",
    "Gaussian",
    "JobSpec",
    "Macer",
    "Method",
    "NoiseJob",
    "Normalization",
    "NormalizationChoice",
    "OverConfidence",
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


ModelSigma = Annotated[
    Sigma | None,
    Field(description="null: the noise level that the checkpoint was trained with, if it says"),
    Flag(JOB, "Noise level: standard deviation, in [0, 1]-pixel units.", unset="the checkpoint's, if it says"),
]
SampleBatch = Annotated[
    int | None,
    Field(
        ge=1,
        le=65_536,
        description="noise samples per forward pass, at most; brought down to a multiple of 100, or to a divisor of it; "
        "null: chosen at the first claim, then fixed",
    ),
    Flag(
        SAMPLING,
        "Noise samples per forward pass, at most: a multiple of 100, or a divisor of it.",
        unset="100; for long work the fastest that is found",
    ),
]


@record
class NoiseJob(AnyJob):
    """A job that runs a checkpoint on noisy copies of chosen inputs.

    A field that only some kinds have is a property here, with the value that holds for the other kinds.
    """

    kind: str
    checkpoint: Annotated[
        Reference, Flag(JOB, "Checkpoint: a .safetensors file, or a research .pth.tar.", metavar="FILE")
    ]
    dataset: Annotated[
        Reference,
        Flag(
            JOB,
            "Dataset: `digits`, or files: an .npz, idx or CIFAR .bin files (joined by commas), a CIFAR .tar.gz, .npy files of CIFAR-10-C (joined by commas, labels.npy among them), a zip of class folders; photos.zip@256/224 resizes its photographs to a shorter side of 256 pixels and cuts 224x224 from the middle.",
            metavar="DATA",
        ),
    ]
    inputs: Selection = Selection()
    sigma: ModelSigma = None
    seed: Seed = 0
    batch_size: SampleBatch = None

    @property
    def n(self) -> int:
        """Noise samples for estimation, of each input; 0 where something else is counted."""
        return 0

    @property
    def samples(self) -> int:
        """Noise samples of each input, at most."""
        return self.n

    @property
    def pinned(self) -> bool:
        """Every job that draws noise is."""
        return True

    @property
    def sampling(self) -> Sampling:
        """How many of them are drawn."""
        return "fixed"

    @property
    def precision(self) -> Precision:
        """Of the forward passes."""
        return "fp32"

    @property
    def bound(self) -> Bound:
        """Which bound the certificates rest on; ``mixed``: the votes are those of the robust part of a mix."""
        return "one_sided"

    @property
    def noise(self) -> Noise:
        """What is added to an image."""
        return "gaussian"

    @property
    def robust_weight(self) -> float | None:
        """Of the robust classifier, where a mix is certified as one."""
        return None

    @property
    def crop_size(self) -> int | None:
        """Side in pixels of what the model is shown of an image; None: the whole image."""
        return None

    @property
    def noisy(self) -> bool:
        """Whether there is noise at all, and so a noise level."""
        return True

    @property
    def execution(self) -> dict[str, Any]:
        """Precision and noise samples per forward pass."""
        return {"precision": self.precision, "batch_size": self.batch_size}

    def resolved(self, sigma: float | None, robust_weight: float | None) -> Self:
        """The specification with the noise level that planning has chosen and, for certificates of a mix, the weight."""
        return replace(self, sigma=sigma)


@record
class CertifySpec(NoiseJob):
    """Class, radius and all class counts of each chosen input: CERTIFY of Cohen et al. 2019 by default, and procedures
    that are as sound and need fewer noise samples.

    ``bound = two_class`` goes with ``sampling = fixed`` and ``pilot``; ``radii`` belong to ``at_radii``, and to it alone.
    """

    kind: Literal["certify"] = "certify"
    sampling: Annotated[
        Sampling,
        Field(
            description="fixed: n samples for each input, as papers have it: for tables to be laid beside theirs. "
            "pilot: full radii for fewer samples (about half for n = 100,000), at about 1 % less ACR: a short pilot gives each "
            "input its own size of at most n. at_radii: certified accuracy at the radii asked for, about 10 to 50 times fewer "
            "samples: "
            "an input ends when it is settled at all of them, so that its radius is a lower bound, stopped early. anytime: "
            "all inputs advance together and every certificate holds at any moment, so that a running or cancelled job "
            "has a valid report; the price is a bound a little smaller than that of fixed"
        ),
        Flag(
            SAMPLING,
            "fixed: n samples each, as in papers; pilot: full radii for about half of the samples, at 1 % less ACR; at_radii: certified accuracy at --radii for 10 to 50 times fewer; anytime: certificates that hold whenever you stop.",
        ),
    ] = "fixed"
    radii: Annotated[
        tuple[Annotated[float, Field(ge=0)], ...] | None,
        Field(
            min_length=1,
            max_length=64,
            description="where at_radii is to settle whether each input is certified: l2 radii, in [0, 1]-pixel units",
        ),
        Flag(
            SAMPLING,
            "Where at_radii settles each input: l2 radii, such as 0.25,0.5,1.",
            metavar="R,R,...",
            unset="none",
        ),
    ] = None
    bound: Annotated[
        Bound,
        Field(
            description="one_sided: the other classes get all that the bound on the certified one leaves (Cohen et al., as "
            "in papers). two_class: every other class is bounded too, which certifies more where no class has most of the "
            "votes, and a hair less where one has all of them. mixed: of a checkpoint that mixes a standard and a robust "
            "classifier: the votes are the robust one's, and the certificate is that of Adaptive Smoothing (arXiv 2301.12554) "
            "for the mix of both; with sampling = fixed"
        ),
        Flag(
            SAMPLING,
            "one_sided, or two_class, which certifies more where no class has most of the votes; with fixed and pilot; or mixed, of a checkpoint that mixes a standard and a robust classifier.",
        ),
    ] = "one_sided"
    robust_weight: Annotated[
        RobustWeight | None,
        Field(description="with bound = mixed: another weight than the checkpoint's own; null: its own"),
        Flag(SAMPLING, "With --bound mixed: weight of the robust classifier.", unset="the checkpoint's"),
    ] = None
    noise: Annotated[
        Noise,
        Field(
            description="gaussian: in float32, on any image. discrete: the same noise rounded to whole steps of 1/255 and "
            "drawn exactly, for images of 8 bits: certificates hold on that grid and are out of reach of attacks on "
            "floating-point rounding"
        ),
        Flag(SAMPLING, "gaussian, or discrete: on the grid of 8-bit images, out of reach of rounding attacks."),
    ] = "gaussian"
    guarantee: Annotated[
        Literal["per_input", "dataset"],
        Field(
            description="per_input: each certificate is wrong with probability at most alpha. dataset: all certificates of "
            "the job hold together with probability at least 1 - alpha; each is made at alpha / inputs"
        ),
        Flag(SAMPLING, "per_input: each certificate fails with probability alpha; dataset: any of them does."),
    ] = "per_input"
    n0: Annotated[
        int,
        Field(ge=1, le=MAX_SAMPLES, description="noise samples for selection; of a pilot, its first stage in hundreds"),
        Flag(SAMPLING, "Noise samples for selection, per input."),
    ] = 100
    n: Annotated[
        int,
        Field(ge=1, le=MAX_SAMPLES, description="noise samples for estimation; but for fixed, the most of them"),
        Flag(SAMPLING, "Noise samples for estimation, per input."),
    ] = 100_000
    alpha: Alpha = 0.001
    precision: Annotated[
        Precision,
        Field(
            description="of the forward passes. The certificate is about the network as run: bf16 is another function"
        ),
        Flag(SAMPLING, "Of the forward passes: fp32 or bf16, a network of its own that is certified as run."),
    ] = "fp32"

    @model_validator(mode="after")
    def _allowed(self) -> "CertifySpec":
        if self.bound == "two_class" and self.sampling in ("at_radii", "anytime"):
            allowed = "one_sided with at_radii and anytime, one_sided or two_class with fixed and pilot"
            raise refused("bound", allowed, f"two_class with {self.sampling}")
        if self.bound == "mixed" and self.sampling != "fixed":
            raise refused("bound", "mixed with sampling = fixed", f"mixed with {self.sampling}")
        if self.bound != "mixed" and self.robust_weight is not None:
            raise refused("robust_weight", "none, but with bound = mixed", f"{self.robust_weight:g} with {self.bound}")
        if self.sampling == "at_radii" and self.radii is None:
            raise refused("radii", "the radii at which at_radii is to settle each input", "none")
        if self.sampling != "at_radii" and self.radii is not None:
            raise refused("radii", "none, but with sampling = at_radii", f"radii with {self.sampling}")
        return self

    @property
    def samples(self) -> int:
        """Noise samples of each input, at most."""
        return self.n0 + self.n

    def resolved(self, sigma: float | None, robust_weight: float | None) -> Self:
        """The specification with noise level and weight."""
        return replace(self, sigma=sigma, robust_weight=robust_weight)

    def alpha_per_input(self, inputs: int) -> float:
        """The failure probability of each of so many certificates."""
        return self.alpha / inputs if self.guarantee == "dataset" else self.alpha


@record
class PredictSpec(NoiseJob):
    """PREDICT of Cohen et al. 2019 on each chosen input: class or abstention."""

    kind: Literal["predict"] = "predict"
    n: Annotated[
        int, Field(ge=1, le=MAX_SAMPLES, description="noise samples"), Flag(SAMPLING, "Noise samples per input.")
    ] = 1_000
    alpha: Alpha = 0.001


@record
class SoftLabelSpec(NoiseJob):
    """Votes of a base classifier under noise on each chosen input of a training set: the soft labels of CAT-RS
    (arXiv 2212.09000) are their frequencies."""

    kind: Literal["soft_labels"] = "soft_labels"
    n: Annotated[
        int, Field(ge=1, le=MAX_SAMPLES, description="votes per input"), Flag(SAMPLING, "Noise samples per input.")
    ] = 10_000
    augmentation: Annotated[
        Literal["none", "crop_flip", "resized_crop_flip"],
        Field(
            description="votes are on one augmented view of each input, as the public code has it; none: on the input"
        ),
        Flag(IMAGES, "none, crop_flip or resized_crop_flip: votes are on one such view of each input."),
    ] = "none"
    crop_size: Annotated[
        int | None,
        Field(ge=1, le=4096, description="as in a training job"),
        Flag(IMAGES, "Side of what resized_crop_flip gives, in pixels.", unset="the images' own"),
    ] = None


@record
class VerifySpec(AnyJob):
    """An audit of a certify job: every radius is computed again from its counts, and the noise of some inputs, chosen at
    random, is drawn again and their counts compared. The answer is in the job's ``output``."""

    kind: Literal["verify"] = "verify"
    job: Annotated[
        str,
        Field(min_length=1, max_length=100, description="the certify job, which may still be running"),
        Flag(JOB, "The certify job to audit.", metavar="ID"),
    ]
    inputs: Annotated[int, Field(ge=1, le=10_000, description="inputs whose noise is drawn again")] = 20
    seed: Annotated[
        int | None, Field(ge=0, le=MAX_SEED, description="of their choice; null: one that nobody knows beforehand")
    ] = None


Evaluation = Annotated[EvaluationSettings, Field(discriminator="name")]


@record
class EvaluateSpec(NoiseJob):
    """A look at a smoothed classifier beside its certificates: ``evaluation`` says which."""

    kind: Literal["evaluate"] = "evaluate"
    sigma: Annotated[
        Sigma | None,
        Field(
            description="null: the noise level that the checkpoint was trained with, if it says; none where the classifier is "
            "asked without noise"
        ),
        Flag(JOB, "Noise level: standard deviation, in [0, 1]-pixel units.", unset="the checkpoint's, if it says"),
    ] = None
    evaluation: Evaluation
    batch_size: Annotated[
        int | None,
        Field(
            ge=1,
            le=65_536,
            description="noisy images whose activations are kept at once, at most, and noise samples per forward pass; "
            "null: 100",
        ),
        Flag(SAMPLING, "Noisy images at once, and noise samples per forward pass, at most.", unset="100"),
    ] = None

    @model_validator(mode="after")
    def _without_noise(self) -> "EvaluateSpec":
        if self.sigma is not None and not self.noisy:
            raise refused("sigma", f"none with {self.evaluation.name}, which adds no noise", f"{self.sigma:g}")
        return self

    @property
    def noisy(self) -> bool:
        """Whether the classifier is asked under noise."""
        return self.evaluation.noisy

    @property
    def compared_with(self) -> str | None:
        """Of an attack: the certify job whose certificates its answers are compared with."""
        return self.evaluation.certificates if isinstance(self.evaluation, Attack) else None


Spec = TrainSpec | CertifySpec | PredictSpec | SoftLabelSpec | VerifySpec | EvaluateSpec
JobSpec = Annotated[Spec, Field(discriminator="kind")]
_JOB_SPEC: TypeAdapter[Spec] = TypeAdapter(JobSpec)
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}
RECORDS: dict[str, type[Any]] = {record.kind: record for record in get_args(Spec)}
"""The record of each kind of job."""


def parse_spec(body: dict[str, Any]) -> Spec:
    """The record that ``body`` (JSON-like) describes, by its ``kind``; :class:`InvalidSpec` names every wrong field."""
    try:
        return _JOB_SPEC.validate_python(body)
    except ValidationError as error:
        raise invalid_spec(error) from None


def dump_spec(spec: Any) -> dict[str, Any]:
    """The JSON-like body of any record here; ``parse_spec(dump_spec(s)) == s`` for job specs."""
    adapter = _ADAPTERS.get(type(spec))
    if adapter is None:
        adapter = _ADAPTERS[type(spec)] = TypeAdapter(type(spec))
    body: dict[str, Any] = adapter.dump_python(spec, mode="json")
    return body


def invalid_spec(error: ValidationError, *, placed: bool = False) -> InvalidSpec:
    """One sentence out of pydantic's list: for each wrong field, what was expected and what came.

    ``where`` names the fields; where there are several, or with ``placed``, each part of the sentence does so too.
    """
    found, more = first_faults(
        error.errors(include_url=False), tuple(RECORDS.values()), most_text=2_000
    )  # one sentence
    if len(found) == 1 and not more and not placed:
        return InvalidSpec(expected=found[0]["expected"], got=found[0]["got"], where=found[0]["location"] or None)
    places = [item["location"] or "the body" for item in found]
    rest = f"; and {more:,} more" if more else ""
    return InvalidSpec(
        expected="; ".join(f"{place}: {item['expected']}" for place, item in zip(places, found, strict=True)) + rest,
        got="; ".join(f"{place} = {item['got']}" for place, item in zip(places, found, strict=True)) + rest,
        where=", ".join(dict.fromkeys(places)),
    )
