"""An audit finds what is wrong, and nothing where all is right."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from radii.rs_core.certify import engine
from radii.rs_core.certify.audit import FALSE_ALARM, Recomputation, RedrawComparison, apart, chance_of
from radii.rs_core.certify.engine import Input
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.records import Certificate
from radii.rs_core.runs import verify
from radii.rs_core.runs.noise_run import NoiseRun
from radii.rs_core.specs.fields import Bound, Noise, Sampling
from radii.rs_core.specs.jobs import CertifySpec


@pytest.fixture(scope="module")
def model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        linear = nn.Linear(64, 10)
    linear.bias.data[:2] += 0.7
    return nn.Sequential(nn.Flatten(), linear)


@pytest.fixture(scope="module")
def inputs() -> list[Input]:
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return [(index, (image * 255).round() / 255, index) for index, image in enumerate(images)]


def _rows(
    model: nn.Module, inputs: list[Input], sampling: Sampling = "fixed", bound: Bound = "one_sided", **more: object
) -> list[Certificate]:
    seed, n = int(more.pop("seed", 5)), int(more.pop("n", 1_000))  # type: ignore[call-overload]
    sampler = Sampler(model, 0.25, 10, seed=seed, **more)  # type: ignore[arg-type]
    radii = (0.05, 0.1) if sampling == "at_radii" else ()
    procedure = Procedure(sigma=0.25, n=n, alpha=0.01, sampling=sampling, bound=bound, radii=radii)
    return [record for record in engine.certify(sampler, inputs, procedure) if isinstance(record, Certificate)]


def _wrong(*rows: Certificate, pixels: int | None = 64) -> list[str]:
    audit = Recomputation(pixels)
    audit.look_at(rows)
    assert audit.findings.looked_at == len(rows)
    return [fault.what for fault in audit.findings.faults]


@pytest.mark.parametrize(
    ("sampling", "bound", "noise"),
    [
        ("fixed", "one_sided", "gaussian"),
        ("fixed", "two_class", "discrete"),
        ("pilot", "two_class", "gaussian"),
        ("pilot", "one_sided", "discrete"),
        ("at_radii", "one_sided", "gaussian"),
        ("anytime", "one_sided", "discrete"),
    ],
)
def test_the_certificates_of_every_procedure_follow_from_their_counts(
    model: nn.Module, inputs: list[Input], sampling: Sampling, bound: Bound, noise: Noise
) -> None:
    assert _wrong(*_rows(model, inputs, sampling, bound, noise=noise)) == []


def test_whatever_is_changed_in_a_certificate_is_found(model: nn.Module, inputs: list[Input]) -> None:
    row = max(_rows(model, inputs, bound="two_class"), key=lambda row: row.p_lower)
    more = (*row.counts[:-1], row.counts[-1] + 1)
    other = (row.prediction + 1) % 10
    changes = {
        "radius": {"radius": row.radius + 1e-6},
        "p_lower": {"p_lower": row.p_lower + 1e-6},
        "p_upper": {"p_upper": row.p_upper - 1e-6},  # type: ignore[operator]
        "class": {"prediction": other},
        "add up": {"counts": more},
        "its radius": {"sigma": 0.5},
        "its p_": {"alpha": 0.1},
        "its p_upper": {"bound": "one_sided", "alpha": row.alpha * 0.9},
        "its p_lower": {"sampling": "anytime", "bound": "one_sided", "p_upper": None},
        "no counts": {"counts": ()},
        "an error and certifies": {"error": "It ended three times."},
    }
    for word, changed in changes.items():
        (found,) = _wrong(replace(row, **changed))  # type: ignore[arg-type]
        assert word in found, (word, found)


def test_counts_that_are_moved_between_classes_change_the_certificate(model: nn.Module, inputs: list[Input]) -> None:
    row = max(_rows(model, inputs), key=lambda row: row.p_lower)
    counts = list(row.counts)
    counts[row.prediction] += 5
    counts[(row.prediction + 3) % 10] -= 5
    assert _wrong(replace(row, counts=tuple(counts)))


def test_a_row_of_another_procedure_than_the_others_is_found(model: nn.Module, inputs: list[Input]) -> None:
    """Scaled by a noise level of its own, a radius follows from its counts, and is none of this job's."""
    first, row, *_ = _rows(model, inputs)
    scaled = replace(row, sigma=10 * row.sigma, radius=10 * row.radius)
    assert _wrong(row, first) == []
    (found,) = _wrong(first, scaled)
    assert "its sigma is 2.5, where 0.25 was asked for or is all others'" in found


def test_what_was_asked_for_is_what_must_have_been_drawn(model: nn.Module, inputs: list[Input]) -> None:
    rows = _rows(model, inputs, "pilot")
    asked = Procedure(sigma=0.25, n=1_000, alpha=0.01, sampling="pilot")
    for procedure, seed, wrong in (
        (asked, 5, 0),
        (replace(asked, n=500), 5, None),
        (asked, 6, 6),
        (replace(asked, alpha=0.5), 5, 6),
    ):
        audit = Recomputation(64, procedure, seed)
        audit.look_at(rows)
        assert audit.findings.wrong == wrong if wrong is not None else audit.findings.wrong > 0


def test_what_discrete_noise_neglects_is_allowed_for_where_the_pixels_are_unknown(
    model: nn.Module, inputs: list[Input]
) -> None:
    rows = _rows(model, inputs, noise="discrete")
    assert _wrong(*rows, pixels=None) == []
    assert _wrong(replace(rows[0], radius=rows[0].radius + 1e-3), pixels=None)


def test_a_job_that_has_drawn_more_meanwhile_is_not_held_against_what_was_drawn_again(
    model: nn.Module, inputs: list[Input]
) -> None:
    row = max(_rows(model, inputs, "anytime"), key=lambda row: row.p_lower)
    audit = RedrawComparison(1, exact=True)
    audit.look_at(row, replace(row, n=row.n - 100, counts=(row.counts[0] - 100, *row.counts[1:])))
    assert (audit.findings.wrong, audit.equal, audit.moved_on) == (0, 0, 1)
    labelled = RedrawComparison(1, exact=True)
    labelled.look_at(replace(row, label=7), row)
    assert "its label is 7" in labelled.findings.faults[0].what


def test_only_the_first_faults_are_told_and_all_are_counted(model: nn.Module, inputs: list[Input]) -> None:
    row = replace(_rows(model, inputs)[0], radius=9.0)
    audit = Recomputation(64)
    audit.look_at([replace(row, index=index) for index in range(50)])
    assert (audit.findings.wrong, len(audit.findings.faults)) == (50, 20)


def _redrawn(model: nn.Module, inputs: list[Input], rows: list[Certificate]) -> list[Certificate]:
    data = Dataset(
        images=np.stack([image.numpy() for _, image, _ in inputs]),
        labels=np.array([label for _, _, label in inputs]),
        class_names=tuple("abcdefghij"),
        name="d",
    )
    spec = CertifySpec(checkpoint="c", dataset="d", sigma=0.25, seed=rows[0].seed)
    run = NoiseRun(spec=spec, model=model, num_classes=10, data=data, chosen=range(len(data)))  # type: ignore[arg-type]
    drawn = [verify.DrawnInput(index=row.index, n0=row.n0, n=row.n, alpha=row.alpha) for row in rows]
    return [record for record in verify.records(run, drawn) if isinstance(record, Certificate)]


@pytest.mark.parametrize("sampling", ["fixed", "pilot", "at_radii", "anytime"])
def test_counts_that_are_drawn_again_are_equal(model: nn.Module, inputs: list[Input], sampling: Sampling) -> None:
    rows = sorted(_rows(model, inputs, sampling, batch_size=300), key=lambda row: row.index)
    again = _redrawn(model, inputs, rows)
    assert [(row.counts0, row.counts) for row in again] == [(row.counts0, row.counts) for row in rows]
    audit = RedrawComparison(len(rows), exact=True)
    for row, other in zip(rows, again, strict=True):
        audit.look_at(row, other)
    assert audit.to_json() == {
        "looked_at": 6,
        "wrong": 0,
        "faults": [],
        "equal": 6,
        "moved_on": 0,
        "failed": 0,
        "compared_by": "equality",
        "false_alarm": 0.0,
    }


def test_where_all_agrees_a_single_vote_is_a_fault_and_elsewhere_it_is_none(
    model: nn.Module, inputs: list[Input]
) -> None:
    row = _rows(model, inputs)[0]
    other = replace(row, counts=(row.counts[0] - 1, row.counts[1] + 1, *row.counts[2:]))
    for exact, wrong in ((True, 1), (False, 0)):
        audit = RedrawComparison(1, exact=exact)
        audit.look_at(row, other)
        assert (audit.findings.wrong, audit.equal) == (wrong, 0)


def test_a_size_that_a_pilot_gave_to_other_votes_is_found(model: nn.Module, inputs: list[Input]) -> None:
    """Equal votes for the class; beside a strong rival the bound of two classes is worth no samples."""
    procedure = Procedure(sigma=0.25, n=10_000, alpha=0.01, sampling="pilot", bound="two_class")
    spread, rivalled = (1_050, 230, *[215] * 8), (1_050, 1_040, *[113] * 7, 119)
    n = procedure.wanted(spread, [0] * 10)[1]
    assert procedure.wanted(rivalled, [0] * 10)[1] == 0 < n
    counts = (n // 2, *[(n - n // 2) // 9 + (place < (n - n // 2) % 9) for place in range(9)])
    row = _rows(model, inputs, "pilot", "two_class")[0]
    rows = []
    for index, counts0 in enumerate((spread, rivalled)):
        decided = asdict(procedure.decide(counts0, counts))
        rows.append(replace(row, index=index, counts0=counts0, counts=counts, n0=3_000, n=n, **decided))
    audit = Recomputation(64, procedure, row.seed)
    audit.look_at(rows)
    assert [fault.index for fault in audit.findings.faults] == [1]


def test_an_input_on_which_drawing_again_failed_tells_nothing(model: nn.Module, inputs: list[Input]) -> None:
    row = _rows(model, inputs)[0]
    for exact in (True, False):
        audit = RedrawComparison(1, exact=exact)
        audit.look_at(row, replace(row, counts0=(), counts=(), error="ended by signal 11"))
        found = audit.to_json()
        assert (found["wrong"], found["equal"], found["failed"]) == (0, 0, 1)


def test_a_fixed_row_that_was_stopped_where_it_looked_best_is_found(model: nn.Module, inputs: list[Input]) -> None:
    rows = _rows(model, inputs)
    stopped = next(row for row in _rows(model, inputs, n=rows[0].n - 100) if row.index == rows[1].index)
    audit = Recomputation(64)
    audit.look_at([rows[0], stopped])
    assert [fault.index for fault in audit.findings.faults] == [stopped.index]


def test_other_noise_passes_and_another_model_does_not(model: nn.Module, inputs: list[Input]) -> None:
    """The seeds are fixed; of fresh ones, one audit in a thousand would fail here."""
    rows = _rows(model, inputs)
    for other, wrong in ((model, 0), (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), len(rows))):
        again = _rows(other, inputs, seed=6)
        audit = RedrawComparison(len(rows), exact=False)
        for row, one in zip(rows, again, strict=True):
            audit.look_at(row, one)
        assert audit.findings.wrong == wrong


def test_counts_that_stopped_themselves_are_compared_by_intervals_that_hold_then() -> None:
    """2,000 pairs at level 0.05; the first sample of each stops where it lies highest. More than 150 by the intervals would
    be seen with probability 1e-7, and the seed is fixed; Fisher's test, which is not made for that, raises more alarms."""
    generator = np.random.default_rng(0)
    looks = np.arange(50, 20_001, 50)
    by_intervals = by_fisher = 0
    for _ in range(2_000):
        votes = generator.binomial(50, 0.7, len(looks)).cumsum()
        highest = int(((votes - 0.7 * looks) / np.sqrt(looks)).argmax())
        stopped, size = int(votes[highest]), int(looks[highest])
        again = int(generator.binomial(size, 0.7))
        pair = (stopped, size - stopped), (again, size - again)
        by_intervals += apart(*pair, 0.05)
        by_fisher += chance_of(*pair) < 0.05
    assert by_intervals <= 150
    assert by_fisher > 150
    assert apart((990, 10), (900, 100), FALSE_ALARM)
    assert apart((900, 100), (990, 10), FALSE_ALARM)
    assert not apart((0, 0), (5, 5), FALSE_ALARM)


@pytest.mark.parametrize("sampling", ["pilot", "at_radii", "anytime"])
def test_stopped_counts_of_another_model_are_found_by_other_noise(
    model: nn.Module, inputs: list[Input], sampling: Sampling
) -> None:
    """The seeds are fixed; of fresh ones, one audit in a thousand would fail here. Two untrained models may agree on an
    input that was settled early."""
    rows = sorted(_rows(model, inputs, sampling), key=lambda row: row.index)
    for other, least, most in ((model, 0, 0), (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), 4, 6)):
        audit = RedrawComparison(len(rows), exact=False)
        for row, one in zip(rows, _redrawn(other, inputs, [replace(row, seed=6) for row in rows]), strict=True):
            audit.look_at(row, one)
        assert least <= audit.findings.wrong <= most


def test_the_p_value_of_two_samples_is_one() -> None:
    """Valid: at most the level, for samples of one distribution. 2,000 pairs, level 0.05: more than 150 would be seen with
    probability 1e-7, and the seed is fixed."""
    generator = np.random.default_rng(0)
    pairs = generator.multinomial(400, (0.7, 0.2, 0.1), size=(2_000, 2))
    assert sum(chance_of(one.tolist(), other.tolist()) <= 0.05 for one, other in pairs) <= 150
    assert chance_of((700, 300), (600, 400)) < FALSE_ALARM
    assert chance_of((0, 0), (5, 5)) == 1.0


def test_labels_that_are_not_those_of_the_data_set_are_found_in_every_row(
    model: nn.Module, inputs: list[Input]
) -> None:
    rows, labels = _rows(model, inputs), [label for _, _, label in inputs]

    def wrong(*certificates: Certificate) -> list[tuple[int | None, str]]:
        audit = Recomputation(64, labels=labels)
        audit.look_at(certificates)
        return [(fault.index, fault.what) for fault in audit.findings.faults]

    assert wrong(*rows) == []
    assert wrong(rows[0], replace(rows[1], label=7), rows[2]) == [(1, "its label is 7, the data set's is 1")]
    assert wrong(replace(rows[1], index=6)) == [(6, "it is of input 6, and the data set has 6")]


def test_a_standard_classifier_that_says_something_else_is_told(model: nn.Module, inputs: list[Input]) -> None:
    """Of a mix, beside the votes."""
    (row, *_) = _rows(model, inputs)
    stored = replace(row, bound="mixed", robust_weight=0.8, standard=(0.2, 0.8))
    bits = (0.2 + 5e-5, 0.8 - 5e-5)
    for said, exact, wrong in ((bits, False, 0), (bits, True, 1), ((0.3, 0.7), False, 1), ((), False, 1)):
        redrawing = RedrawComparison(1, exact=exact)
        redrawing.look_at(stored, replace(stored, standard=said))
        assert redrawing.findings.wrong == wrong
