"""What the tables of published settings are written in: a data set's own settings, and one row per way of training.

A row stands for as many presets as it has noise levels, or endings in their place. A value that differs between them is ``per(...)``, with one
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
class PerSigma:
    """One value per noise level of a row."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class SettingNote:
    """How sure one value is, and why."""

    kind: Literal["guess", "recalled", "disputed", "remark"]
    text: str


@dataclass(frozen=True, kw_only=True)
class PresetRow:
    """One way of training on one data set.

    ``method`` is its record of ``radii.rs_core.specs.methods``; ``training`` are fields of ``TrainSpec`` that differ from the
    data set's, or all of them where the row stands ``alone``; names end in the noise level, or in ``endings`` where there is
    none; ``acr`` is the published average certified radius per noise level, ``where`` where it stands. Notes are
    by field (``method.weight``), or on ``published``.
    """

    name: str
    title: str
    sigmas: tuple[float | None, ...]
    method: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    source: str
    alone: bool = False
    endings: tuple[str, ...] | None = None
    acr: tuple[float | None, ...] | None = None
    where: str | None = None
    notes: Mapping[str, "SettingNote | PerSigma"] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PresetTable:
    """A data set: the settings that its rows share, with notes by field, and the rows."""

    dataset: str
    title: str
    training: Mapping[str, Any]
    rows: tuple[PresetRow, ...]
    notes: Mapping[str, SettingNote] = field(default_factory=dict)


def per(*values: Any) -> PerSigma:
    """One value per noise level."""
    return PerSigma(values)


def guess(text: str) -> SettingNote:
    """Nobody published the value."""
    return SettingNote("guess", text)


def recalled(text: str) -> SettingNote:
    """The value is from memory of the paper."""
    return SettingNote("recalled", text)


def disputed(text: str) -> SettingNote:
    """Publications differ on the value."""
    return SettingNote("disputed", text)


def remark(text: str) -> SettingNote:
    """The value is certain."""
    return SettingNote("remark", text)


COHEN = "Cohen et al., locuslab/smoothing"
SALMAN = "Salman et al., Hadisalman/smoothing-adversarial"
MACER = "Zhai et al., RuntianZ/macer"
CONSISTENCY = "Jeong and Shin, jh-jeong/smoothing-consistency, EXPERIMENTS"
SMOOTHMIX = "Jeong et al., jh-jeong/smoothmix, EXPERIMENTS"
CATRS = "Jeong, Kim and Shin, alinlab/smoothing-catrs, EXPERIMENTS"
BAI = "Bai et al., Bai-YT/AdaptiveSmoothing"
CATRS_LOGS = "Jeong, Kim and Shin, alinlab/smoothing-catrs, logs"

SIGMAS = (0.25, 0.5, 1.0)
SIGMAS_AND_012 = (0.12, 0.25, 0.5, 1.0)

SGD: Mapping[str, Any] = {"momentum": 0.9, "weight_decay": 1e-4, "lr_gamma": 0.1, "lr_drop": "published"}
"""Of every published run: SGD without Nesterov, StepLR; ``lr_drop`` as the Jeong et al. repositories have it."""

MACER_HP: Mapping[str, Any] = {"name": "macer", "m": 16, "beta": 16.0, "margin": 8.0}

ADAMW: Mapping[str, Any] = {
    "optimizer": "adamw",
    "weight_decay": 1e-5,
    "schedule": "cosine",
    "lr_warmup": 0.04,
    "clip_norm": 10.0,
    "epochs": 3,
    "batch_size": 64,
    "precision": "bf16",
}
"""Of the mixing networks of Adaptive Smoothing."""

OF_EVALUATION = "the number is that of the published evaluation"
MIXING_NOTES: Mapping[str, SettingNote] = {
    "start_from": remark("give a mix of the standard and the robust classifier, with a constant weight"),
    "batch_size": guess("not known: 64 images, each with ten clean and ten attacked copies"),
    "precision": remark("the published training has mixed precision, too"),
    "method.steps": remark("of PGD; published are about 75 of APGD, which is stronger"),
    "method.attacked": remark(
        "one with cross-entropy and nine with targeted losses in the public code, all with it here"
    ),
    "method.gamma_scale": guess(f"{OF_EVALUATION}; that of its training is not known"),
    "method.gamma_bias": guess(f"{OF_EVALUATION}; that of its training is not known"),
    "method.standard_scale": disputed(
        f"{OF_EVALUATION}; the published training ran with 1, since its setting was not read"
    ),
    "method.robust_scale": disputed(
        f"{OF_EVALUATION}; the published training ran with 1, since its setting was not read"
    ),
}


def mixing_network(**scales: Any) -> dict[str, Any]:
    """Adaptive Smoothing with these weights and scales beside those that all its published settings share."""
    copies = {"extra_clean": 9, "attacked": 10, "epsilon": 8 / 255, "epsilon_range": [0.4, 1.1]}
    attack = {"steps": 20, "step_count": "chi_squared", "gamma_share": 0.4}
    return {"name": "adaptive_smoothing", **copies, **attack, **scales}
