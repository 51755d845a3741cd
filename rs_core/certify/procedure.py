"""What is drawn for one input, and what its votes certify: the sampling procedures side by side, without torch.

=========  ==========================================================================================================
sampling   what is drawn, and the bound that stands on it
=========  ==========================================================================================================
fixed      n0 samples choose the class, n fresh ones bound it (Cohen et al. 2019, arXiv 1902.02918): Clopper-Pearson
pilot      a pilot of n0 samples, or of 5 or 30 times as many, chooses the class and a size of at most n; so many fresh
           ones bound it: Clopper-Pearson (``pilot``)
at_radii   n0 samples choose the class; fresh ones until it is settled for every requested radius whether the input is
           certified there, at most n: the betting bound (``confidence_sequence``)
anytime    n0 samples choose the class; fresh ones up to n, and what is certified after any number of them holds: the
           betting bound (``confidence_sequence``)
=========  ==========================================================================================================

The noise that chooses is never the noise that bounds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.certify.certificates import Decision, argmax, decide
from radii.rs_core.certify.confidence_sequence import Thresholds, probability
from radii.rs_core.certify.mixed import Mix, decide_mixed
from radii.rs_core.certify.pilot import Pilot
from radii.rs_core.errors import InvalidSpec
from radii.rs_core.specs.fields import Bound, Sampling
from radii.rs_core.specs.jobs import CertifySpec

PART = 100
"""Samples between two looks at the votes, at least: as many as one part of a noise stream has."""
FINENESS = 50
"""Beyond ``PART * FINENESS`` samples there are so many parts to a look as the number drawn is of this many looks."""

USUAL_SAVING = {"fixed": 1, "pilot": 2, "at_radii": 30, "anytime": 1}
"""How many times fewer samples than n for each input a procedure usually draws: for estimates of time alone."""

Wanted = tuple[int, int]


def turn_end(number: int) -> int:
    """How many samples each input has after the turns 0 to ``number`` of ``anytime``, as far as n goes."""
    return PART << number


def procedure_of(spec: CertifySpec, *, inputs: int) -> "Procedure":
    """The procedure that a specification with a noise level asks for, on so many inputs.

    Raises :class:`InvalidSpec` for radii that none of its inputs can reach.
    """
    if spec.sigma is None:
        raise InvalidSpec(expected="a noise level", got="none", where="sigma")
    if spec.bound == "mixed" and spec.robust_weight is None:
        raise InvalidSpec(expected="the weight of the robust classifier", got="none", where="robust_weight")
    procedure = Procedure(
        sigma=spec.sigma,
        n0=spec.n0,
        n=spec.n,
        alpha=spec.alpha_per_input(inputs),
        sampling=spec.sampling,
        bound=spec.bound,
        radii=spec.radii or (),
        robust_weight=spec.robust_weight,
    )
    out_of_reach = [radius for radius in procedure.radii if radius > procedure.cap]
    if out_of_reach:
        shown = math.floor(procedure.cap * 10_000) / 10_000
        wanted = f"radii up to {max(shown, 0.0):g}, the largest that n = {spec.n:,} samples at sigma = {spec.sigma:g} certify"
        raise InvalidSpec(expected=wanted, got=", ".join(f"{radius:g}" for radius in out_of_reach), where="radii")
    return procedure


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """One way of certifying at one noise level. ``alpha`` is the failure probability of each input's certificate; ``n``
    the samples of the estimation, where these may be fewer the most; ``radii`` (``at_radii``) in the units of ``sigma``.

    ``robust_weight`` (``mixed``): of the robust classifier, whose votes are drawn. ``upto`` (``anytime``): how far to go this time.
    """

    sigma: float
    n0: int = 100
    n: int = 100_000
    alpha: float = 0.001
    sampling: Sampling = "fixed"
    bound: Bound = "one_sided"
    radii: tuple[float, ...] = ()
    robust_weight: float | None = None
    upto: int | None = None

    def turn(self, number: int) -> "Procedure":
        """The same as far as it goes in one of the turns, 0, 1, ..., that ``anytime`` makes over all inputs: each doubles
        what they have; other procedures do everything in the first."""
        return replace(self, upto=turn_end(number)) if self.sampling == "anytime" else self

    def shared(self) -> dict[str, Any]:
        """What each certificate says of its procedure. ``n0`` and ``n`` of a certificate are what was drawn."""
        names = ("sigma", "alpha", "sampling", "radii", "bound", "robust_weight")
        return {name: getattr(self, name) for name in names}

    @property
    def last(self) -> bool:
        """Whether nothing is left to do for inputs that have come this far."""
        return self.upto is None or self.upto >= self.n

    def wanted(self, counts0: Sequence[int], counts: Sequence[int]) -> Wanted:
        """How many votes of selection and of estimation are wanted after these ones, all in all; equal to what there are
        where the input is finished. The estimation of a pilot's size begins when the pilot is over."""
        if self.sampling == "fixed":
            return self.n0, self.n
        if self.sampling == "anytime":
            return self.n0, self.n if self.upto is None else min(self.upto, self.n)
        if self.sampling == "pilot":
            return self._piloted(counts0, counts)
        return self.n0, self._until_settled(counts0, counts)

    def decide(
        self, counts0: Sequence[int], counts: Sequence[int], *, neglected: float = 0.0, standard: Sequence[float] = ()
    ) -> Decision:
        """What these votes certify; ``neglected`` is the mass that the noise's distribution leaves out, ``standard`` of a mix
        the standard classifier's probabilities at the input."""
        if self.bound == "mixed":
            assert self.robust_weight is not None
            mix = Mix(standard=standard, robust_weight=self.robust_weight)
            return decide_mixed(counts0, counts, mix, sigma=self.sigma, alpha=self.alpha, neglected=neglected)
        return decide(
            counts0,
            counts,
            sigma=self.sigma,
            alpha=self.alpha,
            sampling=self.sampling,
            bound=self.bound,
            neglected=neglected,
        )

    @property
    def most(self) -> int:
        """The largest number of noise samples that an input can take."""
        return (self._pilot.stages[-1] if self.sampling == "pilot" else self.n0) + self.n

    @property
    def cap(self) -> float:
        """The radius of an input on whose class all ``n`` samples agree: the largest there is."""
        return max(0.0, self.decide([1, 0], [self.n, 0], standard=(1.0, 0.0)).radius)

    def _piloted(self, counts0: Sequence[int], counts: Sequence[int]) -> Wanted:
        piloted, drawn = sum(counts0), sum(counts)
        if drawn:
            return piloted, self._pilot.size(counts0)
        longer = self._pilot.longer(counts0)
        return (piloted + longer, 0) if longer else (piloted, self._pilot.size(counts0))

    def _until_settled(self, counts0: Sequence[int], counts: Sequence[int]) -> int:
        drawn = sum(counts)
        look = int(np.searchsorted(self.looks, drawn, side="right")) - 1
        if look < 0 or drawn != self.looks[look]:  # begun, or cut between two looks: nothing is decided there
            return int(self.looks[look + 1])
        if sum(counts0) >= self.n0:
            settled = self._thresholds.settled([counts[argmax(counts0)]], [look])
            if drawn >= self.n or bool((settled != 0).all()):
                return drawn
        return int(self.looks[min(look + 1, len(self.looks) - 1)])

    @cached_property
    def looks(self) -> NDArray[np.int64]:
        """After how many samples of the estimation ``at_radii`` looks at the votes: fixed beforehand, so that what is
        drawn for an input depends on its votes alone. The bound would hold for any other choice."""
        looks, drawn = [], 0
        while drawn < self.n:
            drawn += PART * max(1, drawn // (PART * FINENESS))
            looks.append(min(drawn, self.n))
        return np.array(looks, dtype=np.int64)

    @cached_property
    def _thresholds(self) -> Thresholds:
        return Thresholds(probability(self.radii, self.sigma), self.looks, self.alpha)

    @cached_property
    def _pilot(self) -> Pilot:
        return Pilot(n=self.n, alpha=self.alpha, n0=self.n0, bound=self.bound)
