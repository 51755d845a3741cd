"""An epoch's batches, read and augmented in this process or ahead of it in others.

Which images a batch has and which stream its augmentation draws from is fixed by its place in the epoch, so batches are
bit-equal for any number of processes. Loader processes are forked from a server that never had threads or a GPU, so
that they can be started beside both; of a mapped data set they are told its place and open it themselves, one in memory
is copied to each. They pass batches through shared memory (``/dev/shm``): about three batches a process.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as MapDataset

from radii.rs_core import glibc_malloc
from radii.rs_core.data.augment import augment
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.noise.streams import Stage, generator

Batch = tuple[Tensor, Tensor]
Place = tuple[int, NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class _Source(MapDataset[Batch]):
    """What a loader process knows: it is asked for (number of the batch, indices)."""

    data: Dataset
    augmentation: str
    size: int | None
    seed: int
    epoch: int

    def __getitem__(self, place: Place) -> Batch:
        batch, indices = place
        x, y = self.data.batch(indices)
        stream = generator(self.seed, self.epoch, Stage.AUGMENTATION, batch)
        return augment(x, self.augmentation, stream, self.size), y


def batches(
    data: Dataset,
    plan: Sequence[Tensor],
    *,
    augmentation: str = "none",
    size: int | None = None,
    seed: int,
    epoch: int,
    first: int = 0,
    processes: int = 0,
) -> Iterator[Batch]:
    """Images float32 (B, C, H, W) in [0, 1] and labels int64 (B,), for each of ``plan[first:]`` in order, on the CPU.

    ``plan`` holds the indices of each batch; batch b is augmented (``augment``) with the stream (seed, epoch,
    AUGMENTATION, b). With ``processes`` they come from as many loader processes, which end with the iterator; then they
    are in pinned memory where CUDA is in use. ``ChildProcessError`` where one of them dies.
    """
    source = _Source(data=data, augmentation=augmentation, size=size, seed=seed, epoch=epoch)
    places = [(batch, plan[batch].numpy()) for batch in range(first, len(plan))]
    if processes == 0 or not places:
        return (source[place] for place in places)
    return _ahead(source, places, min(processes, len(places)))


def _ahead(source: _Source, places: list[Place], processes: int) -> Iterator[Batch]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    loader = DataLoader(
        source,
        batch_size=None,
        sampler=places,
        num_workers=processes,
        collate_fn=_unchanged,
        worker_init_fn=_started,
        pin_memory=bool(torch.cuda.is_initialized()),  # type: ignore[no-untyped-call]
        multiprocessing_context=context,
        generator=torch.Generator(),  # else it would draw from the caller's
    )
    ahead: Any = iter(loader)
    try:
        yield from ahead
    except (RuntimeError, ConnectionError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise ChildProcessError(
            f"A loader process died ({type(error).__name__}: {str(error)[:300]}). It needs room in memory and in /dev/shm for about three "
            f"batches; there are {processes} of them, and fewer loader_processes need less."
        ) from None
    finally:
        ahead._shutdown_workers()


def _started(_: int) -> None:
    glibc_malloc.give_back()


def _unchanged(batch: Any) -> Any:
    return batch
