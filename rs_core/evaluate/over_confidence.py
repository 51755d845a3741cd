"""Over-confidence off the class: the table of the SmoothMix slides (Jeong et al. 2021, arXiv 2111.09277).

From each input the search of SmoothMix, equation (5), ascends -log of the mean prediction under m noise samples by steps of one
length, in [0, 1], with no ball to hold it back. Along its path fresh noise votes: how often for the true class, and how often
for the strongest other one. A model is over-confident off its class where the latter grows with the length.

The slides leave open what the lengths are; here they are those of the path (steps x step size), and each point says how far
it is from the input, which is less where the path bends or meets the edge of [0, 1].
"""

from collections.abc import Iterable, Iterator

import torch

from radii.rs_core.attacks import frozen, smoothed_loss, unrestricted_iterates
from radii.rs_core.certify.engine import Input
from radii.rs_core.evaluate.common import At, EvaluationTarget, ProgressTimer, judged
from radii.rs_core.evaluate.records import EvaluationRecord, Heartbeat
from radii.rs_core.soft_labels.labels import ALPHA
from radii.rs_core.specs.evaluations import OverConfidence


def evaluate(
    subject: EvaluationTarget, inputs: Iterable[Input], asked: OverConfidence
) -> Iterator[Heartbeat | EvaluationRecord]:
    """Each input along one path; ``prediction`` is PREDICT's, of a test at the usual alpha."""
    wanted = dict(zip(asked.steps, asked.lengths, strict=True))
    for index, image, label in inputs:
        yield Heartbeat(index=index, label=label)
        clock, x = ProgressTimer(), image[None].to(subject.device)
        y = torch.tensor([label], device=x.device)
        objective = smoothed_loss(subject.forward, subject.noises(x, index, asked.m), y)
        path = unrestricted_iterates(objective, x, steps=asked.steps[-1], step_size=asked.step_size)
        places: list[At] = []
        with frozen(subject.model):
            for step, at in enumerate(path):
                if step in wanted:
                    places.append((wanted[step], at))
                if clock.due:
                    yield Heartbeat(index=index, label=label)
        yield from judged(subject, x, index, label, places, n=asked.n, alpha=ALPHA, clock=clock)
