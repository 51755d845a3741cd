"""What the tables of published settings are written in: a data set's own settings, and one row per way of training.

A row stands for as many presets as it has noise levels. A value that differs between them is ``per(...)``, with one
entry for each noise level, in their order. What is not certain about a value is said in a note on its field:

    guess      nobody published it: the nearest value that is known
    recalled   from memory of the paper, not found in public code or logs
    disputed   two publications of the same authors differ
    remark     certain, and worth knowing
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Per:
    """One value per noise level of a row."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Note:
    """How sure one value is, and why."""

    kind: Literal["guess", "recalled", "disputed", "remark"]
    text: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of training on one data set.

    ``method`` is its record of ``rs_core.method_spec``; ``training`` are fields of ``TrainSpec`` that differ from the
    data set's; ``acr`` is the published average certified radius per noise level, ``where`` where it stands. Notes are
    by field (``method.weight``), or on ``published``.
    """

    name: str
    title: str
    sigmas: tuple[float, ...]
    method: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    source: str
    acr: tuple[float | None, ...] | None = None
    where: str | None = None
    notes: Mapping[str, "Note | Per"] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A data set: the settings that its rows share, with notes by field, and the rows."""

    dataset: str
    title: str
    training: Mapping[str, Any]
    rows: tuple[Row, ...]
    notes: Mapping[str, Note] = field(default_factory=dict)


def per(*values: Any) -> Per:
    """One value per noise level."""
    return Per(values)


def guess(text: str) -> Note:
    """Nobody published the value."""
    return Note("guess", text)


def recalled(text: str) -> Note:
    """The value is from memory of the paper."""
    return Note("recalled", text)


def disputed(text: str) -> Note:
    """Publications differ on the value."""
    return Note("disputed", text)


def remark(text: str) -> Note:
    """The value is certain."""
    return Note("remark", text)


COHEN = "Cohen et al., locuslab/smoothing"
SALMAN = "Salman et al., Hadisalman/smoothing-adversarial"
MACER = "Zhai et al., RuntianZ/macer"
CONSISTENCY = "Jeong and Shin, jh-jeong/smoothing-consistency, EXPERIMENTS"
SMOOTHMIX = "Jeong et al., jh-jeong/smoothmix, EXPERIMENTS"
CATRS = "Jeong, Kim and Shin, alinlab/smoothing-catrs, EXPERIMENTS"
CATRS_LOGS = "Jeong, Kim and Shin, alinlab/smoothing-catrs, logs"

SIGMAS = (0.25, 0.5, 1.0)
SIGMAS_AND_012 = (0.12, 0.25, 0.5, 1.0)

SGD: Mapping[str, Any] = {"momentum": 0.9, "weight_decay": 1e-4, "lr_gamma": 0.1, "lr_drop": "published"}
"""Of every published run: SGD without Nesterov, StepLR; ``lr_drop`` as the Jeong et al. repositories have it."""

MACER_HP: Mapping[str, Any] = {"name": "macer", "m": 16, "beta": 16.0, "margin": 8.0}
