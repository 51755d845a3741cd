"""Which procedure produced results, in words: what must stand beside its numbers, and what they may not be laid beside."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from radii.rs_core.errors import InvalidResults
from radii.rs_core.noise.discrete_distribution import neglected
from radii.rs_core.records import Certificate
from radii.rs_core.specs.fields import Bound, Noise, Precision, Sampling
from radii.rs_core.specs.jobs import CertifySpec


@dataclass(frozen=True, kw_only=True)
class ProcedureSummary:
    """How the certificates of one report were made."""

    sampling: Sampling = "fixed"
    bound: Bound = "one_sided"
    noise: Noise = "gaussian"
    precision: Precision = "fp32"
    robust_weight: float | None = None

    @property
    def text(self) -> str:
        """In one line; the default of the field is ``fixed n``."""
        words = [SAMPLINGS[self.sampling]]
        words += ["two-class bound"] if self.bound == "two_class" else []
        words += [f"mix of robust weight {self.robust_weight:g}"] if self.robust_weight is not None else []
        words += ["discrete noise"] if self.noise == "discrete" else []
        words += ["bf16"] if self.precision == "bf16" else []
        return ", ".join(words)

    @property
    def acr_label(self) -> str:
        """What ACR is called: where sampling stopped early it says so."""
        return "ACR (lower bound, stopped early)" if self.sampling == "at_radii" else "ACR"


SAMPLINGS: dict[Sampling, str] = {
    "fixed": "fixed n",
    "pilot": "n by pilot",
    "at_radii": "stopped early at requested radii",
    "anytime": "anytime bound",
}


def made(certificates: Sequence[Certificate]) -> ProcedureSummary:
    """The procedure that all rows share, the default where there are none; raises :class:`InvalidResults` where there
    are several."""
    found = {made_of(row) for row in certificates}
    if len(found) > 1:
        shown = "; ".join(sorted(how.text for how in found))
        raise InvalidResults(expected="rows of one procedure", got=f"rows of several: {shown}", where="sampling")
    return found.pop() if found else ProcedureSummary()


def made_of(row: "Certificate | CertifySpec") -> ProcedureSummary:
    """The procedure of one certificate, or of a specification."""
    return ProcedureSummary(
        sampling=row.sampling,
        bound=row.bound,
        noise=row.noise,
        precision=row.precision,
        robust_weight=row.robust_weight,
    )


def notes(how: ProcedureSummary, mean: float | None, unfinished: int) -> tuple[str, ...]:
    """Sentences that a reader of the numbers needs, because they were not made as most are."""
    drawn = "" if mean is None else f" {mean:,.0f} on average."
    found = []
    if how.sampling == "pilot":
        found.append(
            f"A pilot chose the number of samples of each input, up to n:{drawn or ' unknown.'} Its own, n0 to 30 n0, come "
            "on top. The bounds stand on fresh samples and hold as those of a fixed n do; ACR is usually about 1 % below that of n samples for every input."
        )
    if how.sampling == "at_radii":
        found.append(
            "Sampling stopped when an input was settled at all requested radii:"
            f"{drawn or ' '} Certified accuracy at those radii is what the job was for. Radii are lower bounds, stopped "
            "early, and so is ACR: neither is to be ranked against those of a fixed n."
        )
    if how.sampling == "anytime":
        found.append(
            f"Each certificate holds whenever one looks or stops; samples so far:{drawn or ' unknown.'} The bound is a "
            "little below that of as many samples fixed beforehand: not to be ranked against those of a fixed n."
        )
    if unfinished:
        found.append(
            f"Valid as it stands: {unfinished:,} inputs have not come to n samples, and count with their present bound."
        )
    if how.bound == "two_class":
        found.append(
            "Two-class bound: 0.9 alpha for the certified class, 0.1 alpha shared by all others. Certificates of the "
            "one-sided bound are another procedure."
        )
    if how.bound == "mixed":
        found.append(
            f"Adaptive Smoothing (arXiv 2301.12554): the classifier gives the exact smoothed robust classifier a weight of "
            f"{how.robust_weight:g} and the standard one the rest. A radius above 0 holds whatever the standard one says; a class "
            "with radius 0 is the mix's at the input itself."
        )
    if how.noise == "discrete":
        found.append(
            "Discrete noise: certificates are about images of 8 bits a channel, and attacks that stay on that grid."
        )
    if how.precision == "bf16":
        found.append("Forward passes in bfloat16: the certificates are about the network as run, in that precision.")
    return tuple(found)


def guarantee_note(alpha: float, inputs: int) -> tuple[str, ...]:
    """What holds for a whole job at once."""
    return (
        f"Guarantee for the data set: with probability at least 1 - {alpha:g} all {inputs:,} certificates of the job hold "
        f"together; each was made at alpha = {alpha:g} / {inputs:,}.",
    )


def recipe(spec: CertifySpec, shape: Sequence[int] | None) -> tuple[str, ...]:
    """How p_lower and the radius follow from the votes of a row, in sentences; ``alpha`` and ``sigma`` are the row's,
    ``shape`` that of an image (C, H, W)."""
    if spec.bound == "two_class":
        return (
            "p_lower is the Clopper-Pearson lower bound at confidence 1 - 0.9 alpha on counts[class] of n; p_upper is the "
            "least of 1 - p_lower and the Clopper-Pearson upper bound, at confidence 1 - 0.1 alpha / (classes - 1), on the "
            f"largest count of any other class.{_grid(spec, shape)}",
            "The radius is sigma / 2 times the difference of the standard normal quantiles of p_lower and p_upper; where "
            "p_lower is not above p_upper the answer is an abstention.",
        )
    if spec.bound == "mixed":
        return (
            "The class is the one with the largest (1 - w) standard[class] + w counts0[class] / n0, w being robust_weight. p_lower "
            "is the Clopper-Pearson lower bound at confidence 1 - 0.9 alpha on counts[class] of n; every other class has the least "
            "of 1 - p_lower and the upper bound, at confidence 1 - 0.1 alpha / (classes - 1), on its count; p_upper is the "
            f"largest of these.{_grid(spec, shape)}",
            "Where (1 - w) standard[class] + w p_lower is not above (1 - w) standard[c] + w upper[c] for every other class c, the "
            "answer is an abstention. The radius is sigma / 2 times the difference of the standard normal quantiles of w p_lower "
            "and w p_upper + 1 - w, 0 where that is negative.",
        )
    if spec.sampling in ("at_radii", "anytime"):
        bound = (
            "p_lower is the betting lower bound on k = counts[class] of n: the smallest p up to k/n at which log B(k + 1/2, "
            "n - k + 1/2) - log B(1/2, 1/2) - k log p - (n - k) log(1 - p) is below log(1 / alpha), with B the beta "
            f"function; it holds at every n at once.{_grid(spec, shape)}"
        )
    else:
        bound = (
            "p_lower is the one-sided Clopper-Pearson lower bound at confidence 1 - alpha on counts[class] of n: the alpha "
            f"quantile of Beta(k, n - k + 1), and alpha^(1/n) where k = n.{_grid(spec, shape)}"
        )
    radius = "The radius is sigma times the standard normal quantile of p_lower; below 1/2 the answer is an abstention."
    return bound, radius


def _grid(spec: CertifySpec, shape: Sequence[int] | None) -> str:
    """What is left out of the table of the discrete noise, and lowers the bound."""
    if spec.noise != "discrete" or spec.sigma is None:
        return ""
    each = f"{neglected(spec.sigma, 1):.2e} for each pixel value of an image"
    whole = f", {neglected(spec.sigma, math.prod(shape)):.2e} for the {math.prod(shape):,} of one" if shape else ""
    return (
        f" From p_lower is taken, and to p_upper added, what the table of the discrete noise neglects: {each}{whole} "
        "(radii.rs_core.noise.discrete_distribution.neglected)."
    )
