"""Votes of a base classifier under noise: class counts, and no statistics.

The sampling half of Cohen et al. 2019 (arXiv 1902.02918, SampleUnderNoise). Work comes in parts: up to ``CHUNK`` noise
samples of one stream, which is as many as are drawn at once. A batch has room for a fixed number of parts, of any inputs,
so that it is full whatever an input still needs; every forward pass has the same shape. Memory is bounded by the batch,
whatever the number of samples, and counts stay on the device until they are read.

Which votes an input gets depends on nothing but its stream: a sample has the same noise, and the same place in its part,
in every batch. Where a network's logits depend on the place of the part too (which is looked at once), every part of a
stream gets a place of its own.

Noise is added in pixel space and nothing is clipped. Where a batch does not fit into memory, it is classified in halves
from then on, or in quarters, and so on; nothing is counted twice.
"""

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from radii.rs_core.certify.inference_model import InferenceModel
from radii.rs_core.errors import InputOutOfMemory, Mismatch, NotFinite
from radii.rs_core.exception_text import cause_of, raise_as_network_failure
from radii.rs_core.noise import discrete
from radii.rs_core.noise.discrete_distribution import neglected
from radii.rs_core.noise.pixel_grid import GRID
from radii.rs_core.noise.streams import CHUNK, Stage, fill
from radii.rs_core.out_of_memory import ran_out
from radii.rs_core.specs.fields import Noise, Precision
from radii.rs_core.specs.jobs import DEFAULT_BATCH


@dataclass(frozen=True, kw_only=True)
class Votes:
    """Class counts of the first ``drawn`` noise samples of one stream."""

    drawn: int
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class NoiseChunk:
    """The samples ``CHUNK * number`` and following of one stream of one input, of which ``rows`` are counted.

    ``x`` is the input (C, H, W); ``counts_row`` is the row of the sampler's counts that its votes are added to.
    """

    x: Tensor
    index: int
    stage: Stage
    number: int
    rows: int
    counts_row: int


class Sampler:
    """Counts votes of one base classifier at one noise level, batch by batch, in preallocated buffers.

    ``base_classifier`` maps (batch_size, C, H, W) in pixel units to logits (batch_size, num_classes); it is put into
    evaluation mode and run as :class:`InferenceModel` has it, or as ``prepared`` has it already. ``batch_size`` is brought down to
    whole parts, or to a whole fraction of one. Buffers live on the classifier's device.
    """

    def __init__(
        self,
        base_classifier: nn.Module,
        sigma: float,
        num_classes: int,
        *,
        seed: int = 0,
        batch_size: int = DEFAULT_BATCH,
        precision: Precision = "fp32",
        noise: Noise = "gaussian",
        compiled: bool = False,
        prepared: InferenceModel | None = None,
    ) -> None:
        self._logits = prepared or InferenceModel(base_classifier, precision=precision, compiled=compiled)
        self.sigma, self.num_classes, self.seed, self.precision = sigma, num_classes, seed, precision
        self.noise: Noise = noise
        self.batch_size = whole_parts(batch_size)
        self.room = max(1, self.batch_size // CHUNK)
        self.forced: int | None = None
        """Rows that are classified at once where memory allows no whole batch."""
        self.device = device_of(base_classifier)
        self._counts = torch.zeros((0, num_classes), dtype=torch.int64, device=self.device)
        self._finite = torch.ones((), dtype=torch.bool, device=self.device)
        self._ones = torch.ones(CHUNK, dtype=torch.int64, device=self.device)
        self._batch = torch.empty(0)
        self._alike: bool | None = None

    def begin_counts(self, rows: int) -> None:
        """Begins ``rows`` new rows of counts, all 0, and sees weights that were changed since."""
        self._counts = torch.zeros((rows, self.num_classes), dtype=torch.int64, device=self.device)
        self._finite.fill_(True)
        self._logits.refresh()

    def put(self, row: int, counts: Sequence[int]) -> None:
        """Sets one row of counts."""
        self._counts[row] = torch.tensor(counts, dtype=torch.int64, device=self.device)

    def read(self) -> list[list[int]]:
        """All rows of counts; raises :class:`NotFinite` where logits were no numbers."""
        if not bool(self._finite):
            raise NotFinite(expected="finite logits for every noisy input", got="infinite or NaN ones")
        rows: list[list[int]] = self._counts.tolist()
        return rows

    def place(self, part: NoiseChunk, taken: Collection[int]) -> int | None:
        """Where in a batch a part may go, beside those in the places ``taken``; None: not in this one."""
        if self._alike is False:
            own = (part.number + part.index + part.stage) % self.room
            return None if own in taken else own
        return next((place for place in range(self.room) if place not in taken), None)

    @torch.no_grad()
    def count(self, parts: dict[int, NoiseChunk]) -> None:
        """Classifies the parts of one batch, by their place in it, and adds their votes to their rows of counts.

        Raises :class:`Mismatch` where the logits have another shape.
        """
        for place, part in parts.items():
            rows = self._batch[place * CHUNK : (place + 1) * CHUNK]
            fill(
                rows,
                part.number,
                sigma=self.sigma,
                seed=self.seed,
                index=part.index,
                stage=part.stage,
                noise=self.noise,
            )
            rows.add_(part.x)
            if self.noise == "discrete":
                rows.div_(GRID)
        # A batch smaller than a part goes no further than the rows that are asked for.
        last = None
        if self.batch_size < CHUNK:
            last = math.ceil(max(part.rows for part in parts.values()) / self.batch_size) * self.batch_size
        labels, finite = self._classify(self._batch[:last])
        for place, part in parts.items():
            counted = slice(place * CHUNK, place * CHUNK + part.rows)
            # Rows that nobody counts may hold anything, such as what an earlier input has left there.
            self._finite &= finite[counted].all()
            chosen = labels[counted]
            self._counts[part.counts_row].index_add_(0, chosen, self._ones[: len(chosen)])

    def _classify(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """The class of each row, and whether its logits are finite: both (B,)."""
        logits = self._forward(batch)
        if tuple(logits.shape) != (len(batch), self.num_classes):
            raise Mismatch(
                expected=f"logits of shape ({len(batch)}, {self.num_classes}), one per class of the data set",
                got=str(tuple(logits.shape)),
            )
        return torch.as_tensor(logits.argmax(dim=1)), torch.isfinite(logits).all(dim=1)

    def _forward(self, batch: Tensor) -> Tensor:
        """The logits of a batch, as many rows at once as memory allows. Raises :class:`InputOutOfMemory` where one noisy
        copy is too much though the network as such does fit, and what said so where it does not; :class:`NetworkFailed`
        where the network cannot take the batch."""
        while True:
            rows = self.forced or self.batch_size
            try:
                if len(batch) <= rows:
                    return self._logits(batch)
                pieces = (batch[first : first + rows] for first in range(0, len(batch), rows))
                return torch.cat([self._logits(piece) for piece in pieces])
            except Exception as error:
                if not ran_out(error):
                    raise_as_network_failure(error, tuple(batch[:rows].shape))
                    raise
                reason = cause_of(error)
            # Not before the error is gone: its traceback holds what the pass had taken.
            self._halve(batch, rows, reason)

    def _halve(self, batch: Tensor, rows: int, reason: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        # A compiled network is made for batches of one size.
        self._logits = InferenceModel(self._logits.base_classifier, precision=self.precision)
        if rows == 1:
            self._logits(torch.zeros_like(batch[:1]))  # raises where nothing fits, whatever the input
            raise InputOutOfMemory(expected="noisy copies that fit, one at a time", got=reason[:500].rstrip("."))
        self.forced = rows // 2

    @property
    def compiled(self) -> bool:
        """Whether the network runs compiled: as asked for, until the first batch shows whether it can be."""
        return self._logits.compiled

    def neglected(self, x: Tensor) -> float:
        """By how much the noise on an image may differ from Gaussian noise, in the probability of any event."""
        return neglected(self.sigma, x.numel()) if self.noise == "discrete" else 0.0

    @torch.no_grad()
    def shown(self, x: Tensor) -> Tensor:
        """What :meth:`prepare` made of an input as a network is shown it: (C, H, W) in [0, 1]."""
        return (x / GRID if self.noise == "discrete" else x).contiguous()

    def prepare(self, x: Tensor) -> Tensor:
        """An input (C, H, W) in [0, 1] as parts want it: on the device, channels-last, in whole steps of 1/255 where the
        noise is.

        Makes ready for inputs like it: (re)allocates the buffer where their shape is new, and looks once whether the
        places of a batch are alike. Raises :class:`Mismatch` for discrete noise on an image that is not on the grid.
        """
        x = x.to(self.device, torch.float32)
        self._allocate(x)
        x = discrete.on_grid(x) if self.noise == "discrete" else x
        # In memory as the batch has it: the sum of two orders takes several times as long.
        return x.movedim(0, -1).contiguous().movedim(-1, 0) if x.dim() == 3 else x

    def _allocate(self, x: Tensor) -> None:
        rows = max(CHUNK, self.batch_size)
        if self._batch.shape[1:] == x.shape and len(self._batch) == rows:
            return
        last = torch.channels_last if x.dim() == 3 else torch.contiguous_format
        self._batch = torch.empty((rows, *x.shape), device=self.device, memory_format=last).zero_()
        self._alike = self.room == 1 or self._places_are_alike()

    def _places_are_alike(self) -> bool:
        """Whether a part has the same logits, bit by bit, in all places of a batch."""
        probe = self._batch[:CHUNK].normal_(0.5, 1.0, generator=torch.Generator(self.device).manual_seed(0))
        for place in range(1, self.room):
            self._batch[place * CHUNK : (place + 1) * CHUNK] = probe
        logits = self._forward(self._batch)
        if len(logits) != len(self._batch):
            return False
        parts = logits.view(self.room, CHUNK, -1)
        return bool((parts == parts[:1]).all())


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are, or its buffers where it has no weights; the CPU where it has neither."""
    tensor = next(itertools.chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def whole_parts(batch_size: int) -> int:
    """The largest batch up to ``batch_size`` that is made of whole parts, or that a part is made of."""
    if batch_size >= CHUNK:
        return batch_size // CHUNK * CHUNK
    return max(size for size in range(1, batch_size + 1) if CHUNK % size == 0)
