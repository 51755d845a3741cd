"""Whether a checkpoint is one that a training can start from, by what it says of itself. Needs no torch.

A single network is compared with the specification (``compatibility``). A mix, whose mixing network is to be trained
(Adaptive Smoothing, arXiv 2301.12554), is compared with the data, since the specification says nothing of it.
"""

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.errors import Mismatch
from radii.rs_core.models.architecture import Shape
from radii.rs_core.models.registry import architecture
from radii.rs_core.specs.composition import A_MIX, Mixed
from radii.rs_core.specs.jobs import TrainSpec
from radii.rs_core.specs.training import trains_a_mix
from radii.rs_core.training.compatibility import DatasetLike, check_start, model_shape


def check_start_of(spec: TrainSpec, info: CheckpointInfo, data: DatasetLike) -> None:
    """Raises :class:`Mismatch` unless a checkpoint of this record can be trained on by ``spec`` with these data."""
    if not trains_a_mix(spec.method):
        check_start(spec, info.architecture, info.normalization)
        return
    if not isinstance(info.composition, Mixed):
        raise Mismatch(expected=A_MIX, got=info.architecture, where="start_from")
    wanted, found = _said(info.input_shape, info.num_classes), _said(model_shape(spec, data.shape), data.num_classes)
    if wanted != found:
        raise Mismatch(expected=f"images {wanted}, as start_from takes them", got=found, where="dataset")
    _check_names(info.class_names, getattr(data, "class_names", ()))
    if info.composition.mixing is None:
        for part in info.parts:
            _check_readable(part)


def _check_readable(part: CheckpointInfo) -> None:
    """Whether a mixing network can read feature maps of a part."""
    if part.composition is not None or architecture(part.architecture).features is None:
        raise Mismatch(
            expected="parts with feature maps that a mixing network can read: single networks, whose rows name two modules",
            got=part.architecture,
            where="start_from",
        )


def _check_names(known: tuple[str, ...], found: tuple[str, ...]) -> None:
    """Equal names in another order would give every label another meaning."""
    if sorted(known) == sorted(found) and tuple(known) != tuple(found):
        place = next(i for i, name in enumerate(known) if name != found[i])
        raise Mismatch(
            expected=f"classes in the order of start_from, {known[place]!r} at {place}",
            got=f"{found[place]!r} there in the data set",
            where="dataset",
        )


def _said(shape: Shape, num_classes: int) -> str:
    return f"of shape {'x'.join(str(side) for side in shape)} in {num_classes} classes"
