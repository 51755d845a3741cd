"""Which models fit together into one, and what is known of a composite from what is known of its parts. Needs no torch.

The same questions are asked before a composition is taken in, when it is made, and when its file is read. What the kinds
are is in ``composition``.
"""

import hashlib
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal, Protocol

from radii.rs_core.errors import IncompatibleParts
from radii.rs_core.specs.composition import MOST_PARTS, PARTS, Composition, Mixed, is_composite

LONGEST_NAME = 100
TRAINED_BY = "adaptive_smoothing"
"""The method that trains a mixing network: what it gives is that method's."""


class ComponentInfo(Protocol):
    """A model, or what is known of one."""

    @property
    def architecture(self) -> str: ...
    @property
    def role(self) -> Literal["classifier", "denoiser"]: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def input_shape(self) -> tuple[int, int, int]: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def sigma(self) -> float | None: ...
    @property
    def method(self) -> str | None: ...


def facts(composition: Composition, parts: Sequence[ComponentInfo]) -> dict[str, Any]:
    """What a composite of these parts is, as fields of a checkpoint's record. Raises :class:`IncompatibleParts` where there are too
    few or too many, or where they do not fit together.

    ``sigma`` and ``method`` are those of all parts of an ensemble, where they agree, else those of the part that was made
    for noise: the denoiser, the robust classifier. The method of a mix with a mixing network is that of its training.
    """
    _check_count(composition, parts)
    _check_roles(composition, parts)
    shapes = [_shape_read(composition, parts, place) for place in range(len(parts))]
    _check_equal("image shape", shapes)
    classifiers = [part for part in parts if part.role == "classifier"]
    _check_equal("number of classes", [part.num_classes for part in classifiers])
    if isinstance(composition, Mixed) and composition.mixing is not None:
        _check_single(parts)
    made_for_noise = {"ensemble": parts, "denoised": parts[:1], "mixed": parts[1:]}[composition.kind]
    return {
        "architecture": name_of(composition.kind, [part.architecture for part in parts]),
        "num_classes": classifiers[0].num_classes,
        "input_shape": tuple(parts[-1].input_shape),
        "class_names": _class_names(classifiers),
        "sigma": _common([part.sigma for part in made_for_noise]),
        "method": _method(composition, made_for_noise),
    }


def name_of(kind: str, architectures: Sequence[str]) -> str:
    """A composite's architecture, such as ``ensemble(2 x lenet)`` or ``mixed(lenet, lenet)``; a long one is cut, and told
    from others by a hash."""
    counted = [(name, len(list(same))) for name, same in groupby(architectures)]
    if PARTS[kind]:
        counted = [(name, 1) for name in architectures]
    name = f"{kind}({', '.join(name if count == 1 else f'{count} x {name}' for name, count in counted)})"
    if len(name) <= LONGEST_NAME:
        return name
    mark = f"... {hashlib.sha256(name.encode()).hexdigest()[:12]})"
    return name[: LONGEST_NAME - len(mark)] + mark


def _check_count(composition: Composition, parts: Sequence[ComponentInfo]) -> None:
    named = PARTS[composition.kind]
    fits = len(parts) == len(named) if named else 2 <= len(parts) <= MOST_PARTS
    if not fits:
        wanted = f"{len(named)} parts, {' and '.join(named)}" if named else f"2 to {MOST_PARTS} parts"
        raise IncompatibleParts(expected=wanted, got=str(len(parts)), where=composition.kind)


def _check_roles(composition: Composition, parts: Sequence[ComponentInfo]) -> None:
    for place, part in enumerate(parts):
        wanted = "denoiser" if composition.kind == "denoised" and place == 0 else "classifier"
        if part.role != wanted:
            raise IncompatibleParts(
                expected=f"a {wanted} as part {place}",
                got=f"{part.architecture}, a {part.role}",
                where=composition.kind,
            )


def _shape_read(composition: Composition, parts: Sequence[ComponentInfo], place: int) -> tuple[int, ...]:
    """The shape that a part's images have before they are resized for it."""
    shape = tuple(parts[place].input_shape)
    size = composition.standard_size if isinstance(composition, Mixed) and place == 0 else None
    if size is None:
        return shape
    if shape[1:] != (size, size):
        got = f"a standard classifier for {_sides(shape)}"
        raise IncompatibleParts(expected=f"one for images of {size}x{size}, the standard_size", got=got, where="mixed")
    return (shape[0], *parts[1].input_shape[1:])


def _check_equal(what: str, values: Sequence[Any]) -> None:
    for place, value in enumerate(values):
        if value != values[0]:
            shown = [_sides(item) if isinstance(item, tuple) else str(item) for item in (values[0], value)]
            raise IncompatibleParts(
                expected=f"one {what} in all parts, {shown[0]} as in the first", got=f"{shown[1]} in part {place}"
            )


def _check_single(parts: Sequence[ComponentInfo]) -> None:
    for part in parts:
        if is_composite(part.architecture):
            raise IncompatibleParts(
                expected="single networks under a mixing network, which reads their feature maps",
                got=part.architecture,
                where="mixed",
            )


def _class_names(parts: Sequence[ComponentInfo]) -> tuple[str, ...]:
    known = [tuple(part.class_names) for part in parts if part.class_names]
    for names in known:
        if names != known[0]:
            place = next(i for i in range(len(names)) if names[i] != known[0][i])
            raise IncompatibleParts(
                expected=f"parts of the same classes in one order, {known[0][place]!r} at {place}",
                got=f"{names[place]!r} there in another part",
            )
    return known[0] if known else ()


def _method(composition: Composition, made_for_noise: Sequence[ComponentInfo]) -> str | None:
    if isinstance(composition, Mixed) and composition.mixing is not None:
        return TRAINED_BY
    method: str | None = _common([part.method for part in made_for_noise])
    return method


def _common(values: Sequence[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else None


def _sides(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)
