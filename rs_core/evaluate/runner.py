"""An evaluation over many inputs, in groups that are begun again with less where memory does not suffice.

The functions of the table know nothing of memory. Here a group (one input, or as many as are attacked together) that does not fit
is done anew with half the images at once, down to one; what was forced is noted on the inputs it touched.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from torch import nn

from radii.rs_core.certify.engine import Input
from radii.rs_core.errors import InputOutOfMemory
from radii.rs_core.evaluate.common import EvaluationTarget
from radii.rs_core.evaluate.records import EvaluationRecord, Heartbeat
from radii.rs_core.evaluate.registry import EVALUATIONS, evaluation_function
from radii.rs_core.exception_text import cause_of, comes_from, raise_as_network_failure
from radii.rs_core.out_of_memory import ran_out
from radii.rs_core.specs.evaluations import AutoAttack, EvaluationSettings


def evaluated(
    subject: EvaluationTarget, inputs: Iterable[Input], asked: EvaluationSettings, *, alone: bool = False
) -> Iterator[Heartbeat | EvaluationRecord]:
    """Signs of life and one row for each input; ``alone`` works on one input at a time.

    Raises:
        InputOutOfMemory: Even one image at a time does not fit.
        NetworkFailed: A pass of the network failed. Errors of the evaluation itself are passed on as they are.
    """
    if alone and isinstance(asked, AutoAttack):
        asked = replace(asked, together=1)
    given = iter(inputs)
    while group := list(islice(given, asked.together if isinstance(asked, AutoAttack) else 1)):
        yield from _of_group(subject, group, asked)


def _of_group(
    subject: EvaluationTarget, group: list[Input], asked: EvaluationSettings
) -> Iterator[Heartbeat | EvaluationRecord]:
    evaluate, forced = evaluation_function(asked.name), None
    while True:
        found: list[EvaluationRecord] = []
        try:
            for record in evaluate(subject, group, asked):
                if isinstance(record, Heartbeat):
                    yield record
                else:
                    found.append(record if forced is None else replace(record, batch_size=forced))
        except Exception as error:
            if not ran_out(error):
                if comes_from(error, _modules(subject)):
                    raise_as_network_failure(error, differentiated=True)
                raise
            subject, asked, forced = _smaller(subject, asked, error)
            continue
        yield from found
        return


def _modules(subject: EvaluationTarget) -> list[nn.Module]:
    """The user's network, whose errors are not ours."""
    return [module for network in (subject.model, subject.mix) if network is not None for module in network.modules()]


def _smaller(
    subject: EvaluationTarget, asked: EvaluationSettings, error: Exception
) -> tuple[EvaluationTarget, EvaluationSettings, int]:
    """The same with half as many images at once, and how many these are."""
    if isinstance(asked, AutoAttack):
        size, where = asked.together, "evaluation.together"
    else:
        size, where = subject.batch_size, "batch_size"
    if size <= 1:
        expected, got = "an image whose activations fit", cause_of(error)
        raise InputOutOfMemory(expected=expected, got=got, where=where) from error
    half = size // 2
    if isinstance(asked, AutoAttack):
        return subject, replace(asked, together=half), half
    return replace(subject, batch_size=half), asked, half


def is_noisy(asked: EvaluationSettings) -> bool:
    """Whether the classifier is asked under noise."""
    return EVALUATIONS[asked.name].noisy
