"""Soft labels: vote frequencies by index, through memory and through a file, and refused where votes are missing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from radii.rs_core.errors import InvalidResults, Mismatch
from radii.rs_core.soft_labels.labels import SoftLabels, from_counts, voter_spec
from radii.rs_core.specs.jobs import CatRs, PeriodicCertification, TrainSpec

INDICES = [3, 4, 9]
COUNTS = [[0, 10, 0, 0], [2, 0, 3, 5], [1, 1, 1, 7]]


def _labels() -> SoftLabels:
    return from_counts(iter(INDICES), iter(COUNTS), 4, origin={"sigma": 0.25})


def test_a_batch_is_the_frequencies_of_the_votes_in_the_order_asked_for() -> None:
    batch = _labels().batch(torch.tensor([9, 3, 4, 3]))
    assert batch.dtype == torch.float32
    assert batch.tolist() == pytest.approx(np.array([COUNTS[2], COUNTS[0], COUNTS[1], COUNTS[0]]) / 10)
    assert torch.equal(_labels().batch([]), torch.empty(0, 4))


def test_random_votes_come_back_as_they_were(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    counts = draw.multinomial(50, [0.9] + [0.1 / 29] * 29, size=200)
    indices = np.sort(draw.choice(10_000, size=200, replace=False))
    from_counts(indices.tolist(), counts.tolist(), 30).save(tmp_path / "labels")
    chosen = draw.permutation(200)
    batch = SoftLabels.load(tmp_path / "labels").batch(indices[chosen])
    assert np.array_equal(batch.numpy(), (counts[chosen] / 50).astype(np.float32))


def test_equal_votes_give_equal_bytes_and_come_back_with_their_origin(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _labels().save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = SoftLabels.load(tmp_path / "a")
    assert (found.num_classes, found.n, found.origin, len(found)) == (4, 10, {"sigma": 0.25}, 3)


@pytest.mark.parametrize("missing", [0, 5, 10])
def test_an_input_without_votes_is_named(missing: int) -> None:
    with pytest.raises(Mismatch, match=rf"votes for every training input, got none for index {missing}\b"):
        _labels().batch([3, missing])


def test_the_inputs_and_classes_of_a_training_are_checked_before_it_begins() -> None:
    _labels().require(range(3, 5), 4)
    with pytest.raises(Mismatch, match="votes over 10 classes, got votes over 4"):
        _labels().require([3], 10)
    with pytest.raises(Mismatch, match="none for index 5 and 3 more"):
        _labels().require(range(3, 10), 4)


@pytest.mark.parametrize(
    ("indices", "counts"), [([3, 4], [[5, 5], [5, 4]]), ([4, 3], [[5, 5], [5, 5]]), ([3], [[5, 5, 0]]), ([3], [[0, 0]])]
)
def test_votes_that_do_not_add_up_are_refused(indices: list[int], counts: list[list[int]]) -> None:
    with pytest.raises(InvalidResults, match="votes over 2 classes"):
        from_counts(indices, counts, 2)


def test_a_file_of_another_kind_or_with_other_votes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(b"no")
    with pytest.raises(InvalidResults, match="safetensors"):
        SoftLabels.load(path)
    broken = _labels()
    broken.counts[0] += 1
    broken.save(path)
    with pytest.raises(InvalidResults, match="contradict"):
        SoftLabels.load(path)


def test_writing_and_reading_need_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from radii.rs_core.soft_labels.labels import SoftLabels, from_counts; "
        f"path = Path({str(tmp_path / 'labels')!r}); from_counts([1], [[2, 3]], 2).save(path); "
        "SoftLabels.load(path).require([1], 2); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_classifier_that_votes_has_the_settings_of_the_training_but_no_test_data_which_change_nothing_of_it() -> (
    None
):
    certification = PeriodicCertification(every=1)
    common = {"dataset": "mine", "architecture": "lenet", "epochs": 3, "start_from": "there", "seed": 4}
    measured = {"test_dataset": "test", "keep": "acr", "certification": certification}
    spec = TrainSpec(**common, **measured, sigma=0.5, method=CatRs(soft_label_sigma=0.12))  # type: ignore[arg-type]
    assert voter_spec(spec) == TrainSpec(**common, sigma=0.12)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {
            "counts": np.array([-5, 15], dtype=np.int32),
            "classes": np.array([0, 1], dtype=np.int32),
            "rows": np.array([0, 2]),
        },
        {
            "counts": np.array([5, 5], dtype=np.int32),
            "classes": np.array([1, 1], dtype=np.int32),
            "rows": np.array([0, 2]),
        },
        {
            "counts": np.array([5, 5], dtype=np.int32),
            "classes": np.array([2, 0], dtype=np.int32),
            "rows": np.array([0, 2]),
        },
        {
            "counts": np.array([5, 5], dtype=np.int32),
            "classes": np.array([0, 3], dtype=np.int32),
            "rows": np.array([0, 2]),
        },
        {"n": 0, "counts": np.array([0], dtype=np.int32)},
        {"num_classes": 1},
        {"indices": np.array([-1])},
    ],
)
def test_votes_that_are_no_shares_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Negative votes, or a class that comes twice, used to pass where their sum was right."""
    sound: dict[str, Any] = {
        "indices": np.array([4]),
        "rows": np.array([0, 1]),
        "classes": np.array([0], dtype=np.int32),
        "counts": np.array([10], dtype=np.int32),
        "num_classes": 3,
        "n": 10,
    }
    SoftLabels(**sound).save(tmp_path / "sound")
    assert len(SoftLabels.load(tmp_path / "sound")) == 1
    SoftLabels(**sound | changes).save(tmp_path / "labels")
    with pytest.raises(InvalidResults, match="contradict"):
        SoftLabels.load(tmp_path / "labels")
