"""Flags of local commands that only torch or the converter would look at, checked at once: no network library is loaded."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from radii.rs_core.errors import InvalidCheckpoint, InvalidSpec

DEVICE = re.compile(r"auto|cpu|cuda(?::\d{1,3})?")


def check_flags(*, device: str, hints: Mapping[str, str | None] | None = None, checkpoint: str | None = None) -> None:
    """Raises what is wrong with the flags before anything is loaded or converted.

    Args:
        device: value of ``--device``.
        hints: what is said of a checkpoint that does not say it itself: ``architecture`` and ``normalization``.
        checkpoint: file that must be there.

    Raises:
        InvalidSpec: a value is none of the allowed ones, which are named.
        UnknownArchitecture: there is no such network.
        InvalidCheckpoint: the checkpoint is no file.
    """
    if not DEVICE.fullmatch(device):
        raise InvalidSpec(expected="auto, cpu, cuda or cuda:N", got=repr(device)[:100], where="--device")
    given = hints or {}
    if (normalization := given.get("normalization")) is not None:
        _check_normalization(normalization)
    if (name := given.get("architecture")) is not None:
        _check_architecture(name)
    if checkpoint is not None and not Path(checkpoint).is_file():
        found = "a folder" if Path(checkpoint).is_dir() else "nothing there"
        raise InvalidCheckpoint(expected="a file", got=found, where=checkpoint)


def _check_normalization(name: str) -> None:
    from radii.rs_core.specs.fields import NORMALIZATIONS

    if name not in NORMALIZATIONS:
        near = get_close_matches(name, NORMALIZATIONS, n=1)
        advice = f" (perhaps {near[0]})" if near else ""
        expected = f"one of {', '.join(NORMALIZATIONS)}{advice}"
        raise InvalidSpec(expected=expected, got=repr(name)[:100], where="--normalization")


def _check_architecture(name: str) -> None:
    from radii.rs_core.checkpoints.architecture_aliases import ALIASES
    from radii.rs_core.models.registry import architecture
    from radii.service.local.architecture_plugins import use_registered

    use_registered()
    architecture(ALIASES.get(name, name))
