"""An epoch's batches: equal for any number of processes, which end when nobody asks any more, and hold no data set."""

import multiprocessing
import os
import pickle  # noqa: TID251
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from radii.rs_core.data import dataset_file
from radii.rs_core.data.augment import augment
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import open_dataset
from radii.rs_core.data.dataset_header import header
from radii.rs_core.data.loader import batches
from radii.rs_core.noise.streams import Stage, generator

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 3, 12, 12), dtype=np.uint8)
LABELS = np.arange(60) % 4
PLAN = list(torch.randperm(60, generator=torch.Generator().manual_seed(0)).split(7))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("data") / "x"
    dataset_file.save(Dataset(images=PIXELS, labels=LABELS, class_names=("a", "b", "c", "d"), name="x"), path)
    return open_dataset(path)


def _loaded(data: Dataset, *, first: int = 0, processes: int = 0) -> list[tuple[Tensor, Tensor]]:
    return list(
        batches(data, PLAN, augmentation="resized_crop_flip", size=6, seed=3, epoch=2, first=first, processes=processes)
    )


def _equal(one: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(one, other, strict=True)
    )


def _children() -> int:
    return len(multiprocessing.active_children())


def test_a_batch_is_its_images_augmented_by_the_stream_of_its_place(data: Dataset) -> None:
    x, y = _loaded(data)[4]
    images, labels = data.batch(PLAN[4])
    stream = generator(3, 2, Stage.AUGMENTATION, 4)
    assert torch.equal(x, augment(images, "resized_crop_flip", stream, 6)) and torch.equal(y, labels)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)


def test_batches_are_equal_for_any_number_of_processes_and_from_any_start(data: Dataset) -> None:
    whole, before = _loaded(data), torch.get_rng_state()
    assert _equal(_loaded(data, processes=2), whole)
    assert _equal(_loaded(data, processes=1, first=5), whole[5:])
    assert _equal(_loaded(data, first=5), whole[5:])
    assert _loaded(data, first=len(PLAN), processes=2) == []
    assert torch.equal(before, torch.get_rng_state())
    assert _children() == 0


def test_a_data_set_in_memory_goes_to_the_processes_too() -> None:
    data = Dataset(images=PIXELS, labels=LABELS, class_names=("a", "b", "c", "d"), name="x")
    assert _equal(_loaded(data, processes=1), _loaded(data))


def test_processes_end_when_the_iterator_is_closed_early(data: Dataset) -> None:
    loaded = batches(data, PLAN, seed=0, epoch=0, processes=2)
    next(loaded)
    assert _children() == 2
    loaded.close()  # type: ignore[attr-defined]
    assert _children() == 0


def test_a_process_that_dies_is_reported_and_the_others_end(data: Dataset) -> None:
    plan = PLAN * 20
    loaded = batches(data, plan, seed=0, epoch=0, processes=2)
    next(loaded)
    os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
    with pytest.raises(ChildProcessError, match=r"A loader process died .* fewer loader_processes need less"):
        list(loaded)
    assert _children() == 0


def test_a_mapped_data_set_is_sent_as_its_place(data: Dataset) -> None:
    sent = pickle.dumps(data)
    assert len(sent) < 2_000 < PIXELS.nbytes
    found = pickle.loads(sent)
    assert isinstance(found.images, np.memmap) and np.array_equal(found.images, PIXELS)
    assert (found.name, found.class_names, found.labels.tolist()) == (data.name, data.class_names, LABELS.tolist())


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Dataset]:
    """Half a gibibyte of images in a file with holes, which takes no room on the disk."""
    count, shape = 2_731, (3, 256, 256)
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(header(count, shape, "uint8", ("a", "b"), "test"))
        file.write(np.arange(count, dtype="<i8").__mod__(2).tobytes())
        file.truncate(file.tell() + count * 3 * 256 * 256)
    yield open_dataset(path)
    path.unlink()


def test_an_epoch_over_half_a_gibibyte_leaves_memory_where_it_was(large: Dataset) -> None:
    plan = list(torch.arange(len(large)).split(16))
    loaded = batches(large, plan, seed=0, epoch=0, processes=2)
    next(loaded)
    ours = [os.getpid(), *(child.pid or 0 for child in multiprocessing.active_children())]
    before = [_resident(pid) for pid in ours]
    peak = before
    for number, _ in enumerate(loaded):
        if number % 20 == 0 and number < len(plan) - 20:
            peak = [max(pair) for pair in zip(peak, map(_resident, ours), strict=True)]
    assert len(ours) == 3
    # A batch is 12 MiB as floats.
    assert max(high - low for high, low in zip(peak, before, strict=True)) < 64 * 2**20


def test_hashing_and_opening_hold_a_few_images_at_a_time(large: Dataset) -> None:
    before = _resident(os.getpid())
    dataset_file.content_hash(large)
    assert _resident(os.getpid()) - before < 64 * 2**20
