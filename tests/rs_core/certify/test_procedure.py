"""Every procedure's exact probability of error, summed over all that may happen, and what each one draws.

Two classes; the first has probability p. A certificate of the selected class is wrong where its radius is larger than
sigma Phi^-1(its probability). No simulation: the distribution of the counts is carried from look to look.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom

from radii.rs_core.certify import confidence_sequence
from radii.rs_core.certify import procedure as module
from radii.rs_core.certify.bounds import lower_bound
from radii.rs_core.certify.certificates import Decision
from radii.rs_core.certify.procedure import Procedure, procedure_of, turn_end
from radii.rs_core.errors import InvalidSpec
from radii.rs_core.records import ABSTAIN
from radii.rs_core.specs.fields import Bound
from radii.rs_core.specs.jobs import CertifySpec

ALPHA = 0.05
"""Large, so that the sums below see what a look costs; the procedures know no other use of it."""


def _spread(chances: np.ndarray, more: int, p: float) -> np.ndarray:
    """The distribution of successes after ``more`` further trials."""
    return np.convolve(chances, binom.pmf(np.arange(more + 1), more, p))


def _error(procedure: Procedure, p: float, decide: Callable[..., Decision] | None = None) -> float:
    """Probability that the certificate is wrong, whichever class is selected; selection is given, estimation is summed."""
    decide = decide or procedure.decide
    worst = 0.0
    for selected, probability in ((0, p), (1, 1 - p)):
        counts0 = [procedure.n0 * (1 - selected), procedure.n0 * selected]
        worst = max(worst, _error_of(procedure, counts0, selected, probability, decide))
    return worst


def _error_of(
    procedure: Procedure, counts0: list[int], selected: int, p: float, decide: Callable[..., Decision]
) -> float:
    truth, wrong = procedure.sigma * ndtri(p), 0.0
    drawn, chances = 0, np.ones(1)
    while chances.sum() > 1e-14:
        following, going_on = {}, {}
        for k in np.flatnonzero(chances > 0).tolist():
            counts = [k, drawn - k] if selected == 0 else [drawn - k, k]
            _, target = procedure.wanted(counts0, counts)
            if target > drawn:
                going_on[k], following[k] = float(chances[k]), target
                continue
            decided = decide(counts0, counts)
            if decided.prediction != ABSTAIN and decided.radius > truth + 1e-12:
                wrong += float(chances[k])
        if not going_on:
            break
        (target,) = set(following.values())  # looks are at the same numbers for all
        rest = np.zeros(drawn + 1)
        rest[list(going_on)] = list(going_on.values())
        chances, drawn = _spread(rest, target - drawn, p), target
    return wrong


@pytest.mark.parametrize("radius", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("below", [0.0, 0.01, 0.05])
def test_at_radii_errs_with_probability_at_most_alpha_on_the_boundary_and_below(radius: float, below: float) -> None:
    procedure = Procedure(sigma=0.5, n0=100, n=2_000, alpha=ALPHA, sampling="at_radii", radii=(radius,))
    boundary = float(confidence_sequence.probability(radius, 0.5))
    assert 0 <= _error(procedure, boundary - below) <= ALPHA


def test_several_radii_share_one_alpha() -> None:
    radii = (0.1, 0.25, 0.5, 0.75)
    procedure = Procedure(sigma=0.5, n0=100, n=2_000, alpha=ALPHA, sampling="at_radii", radii=radii)
    for radius in radii:
        assert _error(procedure, float(confidence_sequence.probability(radius, 0.5))) <= ALPHA


def test_spending_alpha_on_every_look_would_be_seen() -> None:
    """The bound of a fixed number of samples, taken where the process stopped because it looked good."""
    procedure = Procedure(sigma=0.5, n0=100, n=2_000, alpha=ALPHA, sampling="at_radii", radii=(0.25,))
    boundary = float(confidence_sequence.probability(0.25, 0.5))

    class Peeking(Procedure):
        def _until_settled(self, counts0: list[int], counts: list[int]) -> int:  # type: ignore[override]
            drawn = sum(counts)
            if drawn and lower_bound(counts[0], drawn, ALPHA) >= boundary:
                return drawn
            return min(drawn + 100, self.n)

    peeking = Peeking(**{name: getattr(procedure, name) for name in procedure.__dataclass_fields__})
    fixed = replace(procedure, sampling="fixed", radii=())
    assert _error_of(peeking, [100, 0], 0, boundary, fixed.decide) > 1.5 * ALPHA


@pytest.mark.parametrize("p", [0.5, 0.6, 0.9, 0.99, 0.999])
def test_anytime_covers_p_at_every_number_of_samples_up_to_some_thousands_at_once(p: float) -> None:
    assert _ever_above(p, 3_000, lambda k, n: confidence_sequence.lower_bound(k, n, ALPHA)) <= ALPHA


def test_a_bound_for_one_number_of_samples_looked_at_for_all_would_be_seen() -> None:
    assert _ever_above(0.6, 500, lambda k, n: lower_bound(k, n, ALPHA)) > 3 * ALPHA


def _ever_above(p: float, last: int, bound: Callable[[int, int], float]) -> float:
    """Probability that the bound is above p after any number of samples from 1 to ``last``."""
    chances, erred = np.ones(1), 0.0
    for n in range(1, last + 1):
        chances = _spread(chances, 1, p)
        low, high = 0, n + 1  # the bound grows with k: the least k whose bound is above p
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if bound(middle, n) > p else (middle + 1, high)
        erred += chances[low:].sum()
        chances[low:] = 0.0
    return float(erred)


@pytest.mark.parametrize("bound", ["one_sided", "two_class"])
@pytest.mark.parametrize("p", [0.55, 0.8, 0.97])
def test_a_staged_pilot_errs_with_probability_at_most_alpha_whatever_it_has_seen(p: float, bound: Bound) -> None:
    """Summed over the estimation whose size it chose, and over the pilot's stages."""
    on_average, at_worst = _pilot_error(p, bound, fresh=True)
    assert 0 < on_average <= at_worst <= ALPHA


@pytest.mark.parametrize("bound", ["one_sided", "two_class"])
@pytest.mark.parametrize("p", [0.5, 0.6, 0.8])
def test_counting_the_votes_of_the_pilot_would_be_seen(p: float, bound: Bound) -> None:
    assert _pilot_error(p, bound, fresh=False)[1] > 2 * ALPHA


def _pilot_error(p: float, bound: Bound, *, fresh: bool) -> tuple[float, float]:
    """On average over the pilot's outcomes, and after the worst of them that is likelier than one in a million;
    ``fresh = False`` adds the pilot's votes to those that bound the class that they have chosen."""
    procedure = Procedure(sigma=1.0, n0=100, n=1_000, alpha=ALPHA, sampling="pilot", bound=bound)
    wrong, worst, stage = 0.0, 0.0, {100: binom.pmf(np.arange(101), 100, p)}
    while stage:
        drawn = min(stage)
        chances, following = stage.pop(drawn), {}
        for k in range(drawn + 1):
            more, size = procedure.wanted([k, drawn - k], [0, 0])
            if more > drawn:
                following.setdefault(more, np.zeros(drawn + 1))[k] = chances[k]
            elif size:
                given = _given(procedure, k, drawn, size, p, fresh)
                wrong += float(chances[k]) * given
                worst = max(worst, given if chances[k] > 1e-6 else 0.0)
        for more, rest in following.items():
            stage[more] = stage.get(more, 0) + _spread(rest, more - drawn, p)
    return wrong, worst


def _given(procedure: Procedure, k: int, piloted: int, size: int, p: float, fresh: bool) -> float:
    """Probability of a wrong bound on ``size`` samples, given the pilot's votes."""
    counts0 = (k, piloted - k)
    selected = 0 if 2 * k >= piloted else 1
    truth = (p, 1 - p)[selected]

    def wrong(votes: int) -> bool:
        counts = (votes, size - votes) if selected == 0 else (size - votes, votes)
        seen = counts if fresh else tuple(a + b for a, b in zip(counts, counts0, strict=True))
        decided = procedure.decide(counts0, seen)
        return decided.p_lower > truth or (decided.p_upper is not None and decided.p_upper < 1 - truth)

    low, high = 0, size + 1  # what is wrong for some votes is wrong for more of them
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if wrong(middle) else (middle + 1, high)
    return float(binom.pmf(np.arange(low, size + 1), size, truth).sum())


def test_at_radii_certifies_every_radius_that_it_has_accepted() -> None:
    """The stored radius is of the same process: where a threshold is met, it is at least that radius."""
    procedure = Procedure(sigma=0.5, n=10_000, sampling="at_radii", radii=(0.0, 0.3, 0.7, 1.0))
    thresholds = procedure._thresholds
    for place, radius in enumerate(procedure.radii):
        for look, n in enumerate(procedure.looks.tolist()):
            k = int(thresholds.accept[place, look])
            if k <= n:
                assert procedure.decide([1, 0], [k, n - k]).radius >= radius


def test_at_radii_ends_where_all_radii_are_settled_and_no_sooner() -> None:
    procedure = Procedure(sigma=0.5, n=100_000, sampling="at_radii", radii=(0.25, 0.5))
    assert procedure.wanted([0, 0], [0, 0]) == (100, 100), "the class, and what the first look needs"
    assert procedure.wanted([100, 0], [100, 0]) == (100, 100), "certain of both"
    assert procedure.wanted([100, 0], [30, 70]) == (100, 100), "hopeless for both"
    assert procedure.wanted([100, 0], [74, 26]) == (100, 200), "open at both"
    hundreds = [n for n in procedure.looks.tolist() if n <= 5_000]
    assert hundreds == list(range(100, 5_001, 100))
    assert procedure.wanted([100, 0], [50_000, 50_000])[1] == 100_000


def test_what_was_cut_between_two_looks_is_decided_at_the_next_one() -> None:
    """Else it would be held against the easier threshold of an earlier look, and end where an unbroken run does not."""
    procedure = Procedure(sigma=0.5, n=100_000, sampling="at_radii", radii=(0.25,))
    assert procedure.wanted([100, 0], [20_200, 0]) == (100, 20_500)
    assert procedure.wanted([100, 0], [20_500, 0]) == (100, 20_500)


def test_a_pilot_that_was_cut_inside_a_stage_goes_on_to_its_end() -> None:
    procedure = Procedure(sigma=0.5, n=100_000, sampling="pilot")
    assert procedure.wanted([50, 150], [0, 0]) == (500, 0)
    assert procedure.wanted([600, 600], [0, 0]) == (3_000, 0)


def test_a_pilot_asks_for_fresh_samples_only_when_it_is_over() -> None:
    procedure = Procedure(sigma=0.5, n=100_000, sampling="pilot")
    assert procedure.wanted([0, 0], [0, 0]) == (100, 0)
    assert procedure.wanted([100, 0], [0, 0]) == (500, 0)
    assert procedure.wanted([3_000, 0], [0, 0]) == (3_000, 100_000)
    assert procedure.wanted([3_000, 0], [100_000, 0]) == (3_000, 100_000)
    assert procedure.wanted([40, 60], [0, 0])[0] == 500, "nearly even, but much to win"
    assert procedure.wanted([1_500, 1_500], [0, 0]) == (3_000, 0), "not worth a sample"
    assert procedure.decide([1_500, 1_500], [0, 0]) == Decision(prediction=ABSTAIN, radius=0.0, p_lower=0.0)


def test_anytime_doubles_what_every_input_has_in_each_turn() -> None:
    procedure = Procedure(sigma=0.5, n=1_000, sampling="anytime")
    turns = [procedure.turn(number) for number in range(5)]
    assert [turn.wanted([100, 0], [0, 0])[1] for turn in turns] == [100, 200, 400, 800, 1_000]
    assert [turn.last for turn in turns] == [False, False, False, False, True]
    assert turn_end(3) == 800
    assert Procedure(sigma=0.5).turn(0).last, "other procedures know one turn"


def _spec(**fields: object) -> CertifySpec:
    return CertifySpec(checkpoint="c", dataset="d", sigma=0.5, **fields)  # type: ignore[arg-type]


def test_a_guarantee_for_the_data_set_divides_alpha_among_its_inputs() -> None:
    assert procedure_of(_spec(guarantee="dataset"), inputs=500).alpha == 0.001 / 500
    assert procedure_of(_spec(), inputs=500).alpha == 0.001


def test_radii_that_n_samples_cannot_certify_are_refused() -> None:
    with pytest.raises(InvalidSpec, match=r"radii up to 1\.8237, the largest that n = 100,000 samples .*got 1\.9, 3"):
        procedure_of(_spec(sampling="at_radii", radii=(0.5, 1.9, 3.0)), inputs=1)


def test_the_cap_is_the_radius_of_an_input_that_loses_no_vote() -> None:
    assert procedure_of(_spec(), inputs=1).cap == pytest.approx(0.5 * 3.8115, abs=1e-4)
    caps = {name: procedure_of(_spec(sampling=name), inputs=1).cap for name in ("fixed", "pilot", "anytime")}
    assert caps["fixed"] == caps["pilot"] > caps["anytime"] > 0.9 * caps["fixed"]
    assert 0.99 < procedure_of(_spec(bound="two_class"), inputs=1).cap / caps["fixed"] < 1


def test_parts_are_those_of_a_noise_stream() -> None:
    from radii.rs_core.noise.streams import CHUNK

    assert module.PART == CHUNK
