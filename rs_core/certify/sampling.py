"""Votes of a base classifier under Gaussian noise: class counts, and no statistics.

The sampling half of Cohen et al. 2019 (arXiv 1902.02918, SampleUnderNoise). Memory is bounded by the forward batch,
whatever the number of samples: one buffer is filled, classified and counted again and again. Every forward pass has
the same shape (the last is padded), and the noise comes from a keyed stream, so counting may stop after any batch and
continue elsewhere with the same votes. Noise is added in pixel space and nothing is clipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rs_core.certify.prepared import Prepared
from rs_core.errors import Mismatch, NotFinite
from rs_core.fields import Precision
from rs_core.noise import CHUNK, Stage, fill_gaussian
from rs_core.spec import DEFAULT_BATCH


@dataclass(frozen=True, kw_only=True)
class Votes:
    """Class counts of the first ``drawn`` noise samples of one stream."""

    drawn: int
    counts: tuple[int, ...]


class Sampler:
    """Counts votes of one base classifier at one noise level, batch by batch, in preallocated buffers.

    ``base_classifier`` maps (batch_size, C, H, W) in pixel units to logits (batch_size, num_classes); it is put into
    evaluation mode and run as :class:`Prepared` has it. Buffers live on its device.
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
    ) -> None:
        self._logits = Prepared(base_classifier, precision=precision)
        self.sigma, self.num_classes, self.seed, self.batch_size = sigma, num_classes, seed, batch_size
        parameter = next(base_classifier.parameters(), None)
        self.device = torch.device("cpu") if parameter is None else parameter.device
        self._batch = torch.empty(0)
        self._chunk = torch.empty(0)

    @torch.no_grad()
    def votes(self, x: Tensor, n: int, stage: Stage, *, index: int, resume: Votes | None = None) -> Iterator[Votes]:
        """Counts ``n`` noisy copies of ``x`` (C, H, W); yields the running votes after each forward pass.

        ``resume`` continues from votes yielded before for the same input, stage and batch size. Raises
        :class:`Mismatch` where the logits have another shape and :class:`NotFinite` where they are not numbers.
        """
        self._logits.refresh()
        x = x.to(self.device, torch.float32)
        self._prepare(x)
        drawn = resume.drawn if resume else 0
        counts = torch.zeros(self.num_classes, dtype=torch.int64, device=self.device)
        if resume:
            counts += torch.tensor(resume.counts, device=self.device)
        while drawn < n:
            fill_gaussian(
                self._batch, start=drawn, sigma=self.sigma, seed=self.seed, index=index, stage=stage, chunk=self._chunk
            )
            kept = min(self.batch_size, n - drawn)
            labels = self._classify(self._batch.add_(x))[:kept]
            counts += torch.bincount(labels, minlength=self.num_classes)
            drawn += kept
            yield Votes(drawn=drawn, counts=tuple(counts.tolist()))

    def _classify(self, batch: Tensor) -> Tensor:
        logits = self._logits(batch)
        if logits.shape != (len(batch), self.num_classes):
            raise Mismatch(
                expected=f"logits of shape ({len(batch)}, {self.num_classes}), one per class of the data set",
                got=str(tuple(logits.shape)),
            )
        if not bool(torch.isfinite(logits).all()):
            raise NotFinite(expected="finite logits for every noisy input", got="infinite or NaN ones")
        return torch.as_tensor(logits.argmax(dim=1))

    def _prepare(self, x: Tensor) -> None:
        """(Re)allocates the buffers when the shape of the inputs changes, which within a job it never does."""
        if self._batch.shape[1:] != x.shape or len(self._batch) != self.batch_size:
            last = torch.channels_last if x.dim() == 3 else torch.contiguous_format
            self._batch = torch.empty((self.batch_size, *x.shape), device=self.device, memory_format=last)
            self._chunk = torch.empty(CHUNK * x.numel(), device=self.device)
