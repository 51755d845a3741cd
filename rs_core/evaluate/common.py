"""What evaluations share: the noise that a search goes through, and the votes of fresh noise at what it has found.

A search judged by the noise that it was made with looks stronger than it is, so the votes come from streams of their own
(Salman et al. 2019, arXiv 1906.04584, section 4, attack one smoothed classifier and ask another draw of it). Every stream is
named by the input: what is found of it depends on neither the others nor their order.
"""

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from radii.rs_core.certify import engine
from radii.rs_core.certify.mixed_inputs import standard_of
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.evaluate.records import EvaluationRecord, Heartbeat, PointResult
from radii.rs_core.models.mixed import MixedClassifier
from radii.rs_core.models.training_forward import training_forward
from radii.rs_core.noise.streams import Stage, draw, generator
from radii.rs_core.records import Certificate, Prediction

SECONDS_BETWEEN_SIGNS = 1.0
SELECTION = 100
"""Noise samples that choose a mix's class."""

At = tuple[float, Tensor]
"""A point of an evaluation, and the image (1, C, H, W) that was found for it."""


@dataclass(frozen=True, kw_only=True)
class EvaluationTarget:
    """The classifier that is evaluated.

    ``model`` maps (B, C, H, W) in [0, 1] pixels to logits (B, K); ``sampler`` counts its votes under noise, where there is some.
    The activations of at most ``batch_size`` noisy images are kept at once; ``seed`` names all streams. Of a ``mix`` whose robust
    part alone is under noise, model and sampler are that part's.
    """

    model: nn.Module
    sampler: Sampler | None
    seed: int
    device: torch.device
    batch_size: int
    mix: MixedClassifier | None = None

    @property
    def votes(self) -> Sampler:
        """The sampler, of a classifier under noise."""
        assert self.sampler is not None
        return self.sampler

    @property
    def forward(self) -> nn.Module:
        """The model for passes back to the input, in bounded memory."""
        return training_forward(self.model, forward_batch=self.batch_size)

    def noises(self, x: Tensor, index: int, m: int) -> Tensor:
        """The noise that a search on one image (1, C, H, W) goes through: (m, 1, C, H, W), the input's own."""
        return draw(x, m, self.votes.sigma, self.stream(index, Stage.ATTACK))

    def stream(self, index: int, stage: Stage) -> torch.Generator:
        """One of the input's own streams."""
        return generator(self.seed, index, stage, device=self.device)


class ProgressTimer:
    """Tells when a sign of life is due."""

    def __init__(self) -> None:
        self.began = self._said = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the last one is old; asked for, it is taken as given."""
        now = time.monotonic()
        if now - self._said < SECONDS_BETWEEN_SIGNS:
            return False
        self._said = now
        return True

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.began


def last_of(
    iterates: Iterable[Tensor], clock: ProgressTimer, index: int, label: int
) -> Generator[Heartbeat, None, Tensor]:
    """The last of the iterates of a search, with signs of life on the way; there is at least one."""
    for at in iterates:
        found = at
        if clock.due:
            yield Heartbeat(index=index, label=label)
    return found


def judged(
    subject: EvaluationTarget,
    x: Tensor,
    index: int,
    label: int,
    places: list[At],
    *,
    n: int,
    alpha: float,
    clock: ProgressTimer,
    weight: float | None = None,
) -> Iterator[Heartbeat | EvaluationRecord]:
    """PREDICT at each of the places by fresh noise, then the whole input: ``x`` is the image (1, C, H, W) itself. Of a mix with
    that ``weight`` of the robust classifier, what its bounds separate there."""
    found: list[PointResult] = []
    forced: list[int | None] = []
    inputs = [(index, image[0].cpu(), label) for _, image in places]
    if weight is None:
        answers: Iterator[Any] = engine.predict(
            subject.votes, inputs, n=n, alpha=alpha, stage=Stage.VOTES_FOUND, alone=True
        )
    else:
        answers = _of_mix(subject, inputs, n=n, alpha=alpha, weight=weight)
    for record in answers:
        if not isinstance(record, Prediction | Certificate):
            if clock.due:
                yield Heartbeat(index=index, label=label)
            continue
        point, image = places[len(found)]
        forced.append(record.batch_size)
        found.append(
            PointResult(
                point=point,
                distance=float((image - x).norm()),
                prediction=record.prediction,
                counts=record.counts,
            )
        )
    yield EvaluationRecord(
        index=index,
        label=label,
        found=tuple(found),
        seed=subject.seed,
        seconds=clock.seconds,
        batch_size=min((size for size in forced if size is not None), default=None),
    )


def _of_mix(
    subject: EvaluationTarget, inputs: list[engine.Input], *, n: int, alpha: float, weight: float
) -> Iterator[engine.Progress | Certificate]:
    """Certificates of the mix at these images, whose class is what it answers."""
    sampler = subject.votes
    procedure = Procedure(sigma=sampler.sigma, n0=SELECTION, n=n, alpha=alpha, bound="mixed", robust_weight=weight)
    stages = (Stage.SELECTION_FOUND, Stage.VOTES_FOUND)
    assert subject.mix is not None
    standard = standard_of(subject.mix, "mixed")
    return engine.certify(sampler, inputs, procedure, stages=stages, alone=True, standard=standard)
