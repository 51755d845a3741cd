"""What the tensor names of public checkpoints mean.

Public smoothing code saves ``Sequential(normalize, network)`` (Cohen et al. 2019, arXiv 1902.02918, and what builds on
it), wrapped as a whole or in part by DataParallel: ``module.1.conv1.weight``, ``1.module.conv1.weight``, or the bare
``conv1.weight``. The normalisation layer holds plain tensors, which leave no trace, or buffers: ``0.means``, ``0.sds``. Robust
classifiers (RobustBench) have ``normalize.mean`` beside ``model.conv1.weight``, or ``mean`` or ``mu`` inside the network.
Here such names become those of our table, and the traces a record. Files are left to ``torch_file``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from radii.rs_core.checkpoints.architecture_aliases import ALIASES as ALIASES
from radii.rs_core.checkpoints.checkpoint_info import ConversionHints
from radii.rs_core.data.dataset_info import listed
from radii.rs_core.errors import InvalidCheckpoint
from radii.rs_core.models.architecture import Architecture, Shape
from radii.rs_core.specs.fields import NORMALIZATIONS, Normalization, normalization

WRAPPER = "module"
NETWORK_PREFIXES = {"1.": True, "network.": True, "model.": False}
"""Before the network's names, and whether a normalisation layer stands beside it then, also where it leaves no trace."""
MEANS = ("mean", "means", "mu")
STDS = ("std", "stds", "sd", "sds", "sigma")
IMPLIED_NORMALIZATION = {
    ("cifar_resnet20", 10): "cifar10",
    ("cifar_resnet110", 10): "cifar10",
    ("cifar_resnet20", 100): "cifar100",
    ("cifar_resnet110", 100): "cifar100",
    ("resnet50", 1000): "imagenet",
}
"""Where a normalisation layer left no numbers: the constants that the public code uses with these networks."""
IMPLIED_SHAPE: dict[tuple[str, int], Shape] = {
    ("resnet50", 1000): (3, 224, 224),
    ("cifar_dncnn", 0): (3, 32, 32),
    ("imagenet_dncnn", 0): (3, 224, 224),
}


@dataclass(frozen=True)
class NamedTensors:
    """A state dict taken apart: the network's tensors under the table's names, whether a normalisation layer stood
    before them, and what it held."""

    network: dict[str, Tensor]
    layered: bool
    normalization: Normalization | None


def take_apart(state: Mapping[str, Tensor], where: str, head: str = "", unread: tuple[str, ...] = ()) -> NamedTensors:
    """Names without wrappers and prefixes; :class:`InvalidCheckpoint` where two become one or constants are bad.

    Where the last layer, ``head``, is there by its own name, nothing is taken for a prefix. Tensors whose names begin with one
    of ``unread`` are left out.
    """
    bare = _unwrapped(state, where)
    layer = {name: tensor for name, tensor in bare.items() if _last(name) in MEANS + STDS}
    network = {name: tensor for name, tensor in bare.items() if name not in layer}
    for prefix, layered in NETWORK_PREFIXES.items() if f"{head}.weight" not in network else ():
        if network and all(name.startswith(prefix) for name in network):
            short = {name.removeprefix(prefix): tensor for name, tensor in network.items()}
            return NamedTensors(_read(short, unread), layered or bool(layer), _constants(layer, where))
    return NamedTensors(_read(network, unread), bool(layer), _constants(layer, where))


NORMALIZED_INSIDE = (
    "wrn_28_10",
    "wrn_70_16",
    "wrn_28_10_silu",
    "wrn_70_16_silu",
    "preact_resnet18",
    "preact_resnet18_silu",
)
"""Networks whose public code normalises inside, with constants that some files hold and others do not."""


def choose_normalization(
    parts: NamedTensors, row: Architecture, classes: int, hints: ConversionHints, where: str
) -> Normalization | None:
    """What the file holds; else what was said; else, after a layer without traces, what the public code uses there."""
    said = None if hints.normalization is None else normalization(hints.normalization)
    if parts.normalization is not None:
        if hints.normalization is not None and said != parts.normalization:
            raise InvalidCheckpoint(
                expected=f"the normalisation that was stated, {_brief(said)}",
                got=f"{_brief(parts.normalization)} in the file",
                where=where,
            )
        return parts.normalization
    if hints.normalization is None and row.name in NORMALIZED_INSIDE:
        raise missing("normalization", f"none of the constants that public files of {row.name} may leave out", where)
    if hints.normalization is not None or not parts.layered or row.name == "lenet":
        return said
    implied = IMPLIED_NORMALIZATION.get((row.name, classes))
    if implied is None:
        raise missing("normalization", f"a normalisation layer that holds no numbers, before {row.name}", where)
    return NORMALIZATIONS[implied]


def choose_classes(parts: NamedTensors, row: Architecture, hints: ConversionHints, where: str) -> int:
    """The rows of the last layer, none of a denoiser; without one, what was said (the comparison of names will say what is
    wrong)."""
    if row.role == "denoiser":
        return 0
    head = parts.network.get(f"{row.head}.weight")
    if head is None or head.ndim == 0:
        return hints.num_classes or 2
    if hints.num_classes not in (None, head.shape[0]):
        raise InvalidCheckpoint(
            expected=f"{hints.num_classes} classes, as stated",
            got=f"{head.shape[0]} in {row.head}.weight",
            where=where,
        )
    return int(head.shape[0])


def choose_shape(row: Architecture, classes: int, arch: Any, hints: ConversionHints, where: str) -> Shape:
    """What was said; else the architecture's only shape; else that of the public networks of this kind, which the file may
    call ``arch``."""
    name = arch if isinstance(arch, str) and arch in ALIASES else row.name
    shape = hints.input_shape or row.input_shape or IMPLIED_SHAPE.get((name, classes))
    if shape is None:
        raise missing("input_shape", f"{row.name}, which takes images of any size", where)
    return shape


def missing(hint: str, got: str, where: str, choice: str = "") -> InvalidCheckpoint:
    """The error of a file that does not say all, when nobody else did."""
    return InvalidCheckpoint(expected=f"the hint {hint!r}{choice}, which this file needs", got=got, where=where)


def _read(network: dict[str, Tensor], unread: tuple[str, ...]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in network.items() if not name.startswith(unread)} if unread else network


def _unwrapped(state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    bare: dict[str, Tensor] = {}
    for name, tensor in state.items():
        short = ".".join(part for part in name.split(".") if part != WRAPPER)
        if short in bare:
            raise InvalidCheckpoint(
                expected="each tensor once", got=f"{short} with and without {WRAPPER!r}", where=where
            )
        bare[short] = tensor
    return bare


def _constants(layer: Mapping[str, Tensor], where: str) -> Normalization | None:
    """A mean alone centres, as in some public checkpoints: its std is 1."""
    if not layer:
        return None
    means = [tensor for name, tensor in layer.items() if _last(name) in MEANS]
    stds = [tensor for name, tensor in layer.items() if _last(name) in STDS]
    if len(means) != 1 or len(stds) > 1:
        raise InvalidCheckpoint(
            expected="a normalisation layer of one mean and at most one std", got=listed(list(layer)), where=where
        )
    mean = _per_channel(means[0], where)
    try:
        return Normalization(mean=mean, std=_per_channel(stds[0], where) if stds else (1.0,) * len(mean))
    except ValueError:
        raise InvalidCheckpoint(
            expected="a finite mean and a positive std for each channel",
            got=listed([f"{name} {_per_channel(tensor, where)}" for name, tensor in layer.items()]),
            where=where,
        ) from None


def _per_channel(tensor: Tensor, where: str) -> tuple[float, ...]:
    """Values of a tensor (C,), (C, 1, 1) or (1, C, 1, 1), as the shortest numbers that are equal in float32."""
    if tensor.numel() > 64 or max(tensor.shape, default=1) != tensor.numel():
        raise InvalidCheckpoint(
            expected="one number per channel in the normalisation layer",
            got=f"shape {tuple(tensor.shape)}",
            where=where,
        )
    values: Any = tensor.detach().float().flatten().numpy()
    return tuple(float(str(value)) for value in values)


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _brief(found: Normalization | None) -> str:
    return "none" if found is None else f"mean {found.mean} and std {found.std}"
