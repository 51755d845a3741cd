"""The records of results: what is certified or predicted about one input, and the votes that it rests on.

They need nothing but Python, so that a client without numpy reads them.
"""

from dataclasses import dataclass

from radii.rs_core.specs.fields import UNKNOWN_LABEL as UNKNOWN_LABEL
from radii.rs_core.specs.fields import Bound, Noise, Precision, Sampling

ABSTAIN = -1


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What is certified about one input, and why.

    ``radius`` is in [0, 1]-pixel l2 units and stored in full; ``counts0`` (selection) and ``counts`` (estimation) are
    votes per class, ``n0`` and ``n`` their numbers. ``p_upper`` bounds every other class, where the bound is of two
    classes; ``radii`` are those at which sampling was to settle it. Of a mix (``mixed``), ``standard`` are the standard
    classifier's probabilities at the input, and votes and bounds are about the robust one. ``batch_size`` is set where memory
    forced other batches than the job's: then last bits of logits may differ, and the certificate is as sound. ``error`` says why
    an input could not be certified at all; such an input counts as an abstention.
    """

    index: int
    label: int = UNKNOWN_LABEL
    prediction: int
    radius: float
    p_lower: float
    counts0: tuple[int, ...]
    counts: tuple[int, ...]
    n0: int
    n: int
    sigma: float
    alpha: float
    seed: int
    p_upper: float | None = None
    sampling: Sampling = "fixed"
    radii: tuple[float, ...] = ()
    bound: Bound = "one_sided"
    noise: Noise = "gaussian"
    precision: Precision = "fp32"
    standard: tuple[float, ...] = ()
    robust_weight: float | None = None
    seconds: float = 0.0
    batch_size: int | None = None
    error: str | None = None

    @property
    def correct(self) -> bool:
        """Whether the certified class is the label; an abstention never is."""
        return self.prediction != ABSTAIN and self.prediction == self.label

    @property
    def at_cap(self) -> bool:
        """Whether every noise sample voted for the certified class, so that only more samples could certify more."""
        return 0 <= self.prediction < len(self.counts) and self.counts[self.prediction] == self.n


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The smoothed classifier's answer for one input: a class, or ``ABSTAIN``; with the votes it rests on."""

    index: int
    label: int = UNKNOWN_LABEL
    prediction: int
    p_value: float
    counts: tuple[int, ...]
    n: int
    sigma: float
    alpha: float
    seed: int
    seconds: float = 0.0
    batch_size: int | None = None
    error: str | None = None

    @property
    def correct(self) -> bool:
        """Whether the predicted class is the label; an abstention never is."""
        return self.prediction != ABSTAIN and self.prediction == self.label
