"""Checks of what the public functions are called with."""

import operator
from typing import Any

import torch

from radii.rs_core.errors import InvalidSpec
from radii.rs_core.exception_text import first_line


def as_device(given: torch.device | str) -> torch.device:
    """The device of that name, if this machine has it; "auto" is a GPU if there is one, else the CPU."""
    try:
        name = ("cuda" if torch.cuda.is_available() else "cpu") if given == "auto" else given
        return torch.zeros((), device=name).device
    except (AssertionError, RuntimeError, TypeError) as error:
        raise InvalidSpec(
            expected="auto, or a device of this machine", got=f"{given}: {first_line(error)}", where="device"
        ) from None


def as_indices(given: Any, images: int) -> list[int]:
    """Indices out of ``images``, each once; all of them for None."""
    chosen = list(range(images)) if given is None else _whole_numbers(given)
    if not chosen or len(set(chosen)) < len(chosen):
        got = "none" if not chosen else "one of them twice"
        raise InvalidSpec(expected="one or more indices, each once", got=got, where="inputs")
    if wrong := [index for index in chosen if not 0 <= index < images]:
        raise InvalidSpec(expected=f"indices from 0 to {images - 1:,}", got=f"{wrong[0]:,}", where="inputs")
    return chosen


def _whole_numbers(given: Any) -> list[int]:
    try:
        several = list(given)
    except TypeError:
        expected = "the indices of images, such as range(5) for the first five or [5] for one"
        raise InvalidSpec(expected=expected, got=repr(given)[:100], where="inputs") from None
    return [_whole_number(each) for each in several]


def _whole_number(given: Any) -> int:
    """A numpy integer is one, too."""
    try:
        return operator.index(given)
    except TypeError:
        raise InvalidSpec(expected="whole numbers", got=repr(given)[:100], where="inputs") from None
