"""The published settings by name, ``dataset/method/sigma`` (of a mixing network, ``dataset/adaptive_smoothing/parts``): ``preset("cifar10/smoothmix/0.5").body()``.

A preset is everything that a training job says beside its data sets. The settings themselves are tables in
``preset_tables``, one file per data set; each value there that is not certain has a note. What is published for no
noise level is not offered, and of SVHN there is none: only MACER ran on it, and not all of its settings are known.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from radii.rs_core.errors import UnknownPreset
from radii.rs_core.literature import entry_names
from radii.rs_core.literature.preset_tables.cifar10 import CIFAR10
from radii.rs_core.literature.preset_tables.cifar100 import CIFAR100
from radii.rs_core.literature.preset_tables.fmnist import FMNIST
from radii.rs_core.literature.preset_tables.imagenet import IMAGENET
from radii.rs_core.literature.preset_tables.mnist import MNIST
from radii.rs_core.literature.preset_tables.row import PerSigma, PresetRow, PresetTable, SettingNote

TABLES: tuple[PresetTable, ...] = (MNIST, FMNIST, CIFAR10, CIFAR100, IMAGENET)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One published setting.

    ``notes`` are remarks by field (``method.weight``) or on ``published``; ``uncertain`` are those of these fields
    whose value is a guess, recalled, or disputed. ``published`` is the average certified radius that was reported, in
    [0, 1]-pixel l2 units, and ``where`` says by whom; both are ``None`` where nobody did.
    """

    name: str
    description: str
    source: str
    notes: Mapping[str, str]
    uncertain: tuple[str, ...]
    published: float | None
    where: str | None
    spec: Mapping[str, Any]

    def body(self) -> dict[str, Any]:
        """Fields of a ``TrainSpec``, without data sets; a copy."""
        return copy.deepcopy(dict(self.spec))


def names() -> tuple[str, ...]:
    """Every preset's name, in the tables' order."""
    return tuple(_presets())


def preset(name: str) -> Preset:
    """The preset of that name; :class:`UnknownPreset` says which there are."""
    found = _presets().get(name) if isinstance(name, str) else None
    if found is None:
        got = repr(name if len(str(name)) <= 100 else str(name)[:97] + "...")
        raise UnknownPreset(expected=entry_names.choice(str(name), names()), got=got, where="preset")
    return found


def apply(body: Mapping[str, Any]) -> dict[str, Any]:
    """A training body without ``preset``: what the preset says, under what the body says itself.

    The body's ``method`` is added to the preset's field by field where it has the same name or none; a method of
    another name replaces it. A preset's ``crop_size`` goes with its ``augmentation``: where the body has another, and no
    size of its own, there is none. A body without ``preset`` (or with ``None``) is returned as it is.
    """
    own = {name: value for name, value in body.items() if name != "preset"}
    chosen = body.get("preset")
    if chosen is None:
        return own
    base = preset(chosen).body()
    method = own.get("method")
    if isinstance(method, Mapping) and method.get("name", base["method"]["name"]) == base["method"]["name"]:
        own["method"] = _over(base["method"], method)
    if own.get("augmentation", base.get("augmentation")) != base.get("augmentation"):
        base.pop("crop_size", None)
    return {**base, **own}


def nearest(name: str) -> tuple[str, ...]:
    """Up to five names that look like this one, the most similar first."""
    return entry_names.nearest(name, names())


@cache
def _presets() -> dict[str, Preset]:
    return {one.name: one for table in TABLES for row in table.rows for one in _of(table, row)}


def _of(table: PresetTable, row: PresetRow) -> Iterator[Preset]:
    """The presets of one row, one per noise level or ending."""
    for place, sigma in enumerate(row.sigmas):
        notes: dict[str, SettingNote] = {
            name: note
            for name, note in _at({**({} if row.alone else table.notes), **row.notes}, place).items()
            if note is not None
        }
        acr = row.acr[place] if row.acr else None
        shared = {} if row.alone else table.training
        noise = {} if sigma is None else {"sigma": sigma}
        spec = {**shared, **row.training, **noise, "method": row.method}
        ending = sigma if row.endings is None else row.endings[place]
        yield Preset(
            name=f"{table.dataset}/{row.name}/{ending}",
            description=f"{table.title}{'' if sigma is None else f' under noise {sigma}'}: {row.title}",
            source=row.source,
            notes={
                name: note.text if note.kind == "remark" else f"{note.kind}: {note.text}"
                for name, note in notes.items()
            },
            uncertain=tuple(name for name, note in notes.items() if note.kind != "remark"),
            published=acr,
            where=row.where if acr is not None else None,
            spec=_at(spec, place),
        )


def _at(values: Any, place: int) -> Any:
    """The values of one noise level."""
    if isinstance(values, PerSigma):
        return values.values[place]
    return {name: _at(value, place) for name, value in values.items()} if isinstance(values, Mapping) else values


def _over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Two objects as one; where both say something, ``own`` counts."""
    inner = {
        name: _over(base[name], value)
        for name, value in own.items()
        if isinstance(value, Mapping) and isinstance(base.get(name), Mapping)
    }
    return {**base, **own, **inner}
