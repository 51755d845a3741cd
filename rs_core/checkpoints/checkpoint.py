"""Checkpoints: the network's weights as safetensors, with what is known of them in the file's metadata.

The file holds the state dict of the network alone, under the names of the architecture; normalisation, noise level and
provenance are in the metadata (``checkpoint_info``). A composite's file holds its parts' tensors under ``parts.0.network.``
and so on, and those of a mixing network under ``mixing.``; it needs no other file. Loading compares names and shapes with the architecture's own
before a number is used. Foreign formats are left to ``torch_file``; resuming a training to ``training.loop``.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from safetensors.torch import save as serialized
from torch import Tensor

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo, check_fits, info_in, metadata_of, read_info
from radii.rs_core.data.dataset_info import listed
from radii.rs_core.errors import InvalidCheckpoint, Mismatch
from radii.rs_core.models import composites
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.models.registry import skeleton
from radii.rs_core.safetensors_header import metadata, read_header, writing

__all__ = [
    "CheckpointInfo",
    "assemble",
    "check_fits",
    "empty",
    "fit_state",
    "load",
    "read_info",
    "read_tensors",
    "save",
    "save_state",
    "write_state",
]


def save(model: BaseClassifier, info: CheckpointInfo, path: Path) -> None:
    """Writes the network's weights and ``info`` to ``path``; equal weights and records give equal bytes."""
    save_state(model.network.state_dict(), info, path)


def save_state(state: Mapping[str, Tensor], info: CheckpointInfo, path: Path) -> None:
    """The same from a state dict, which must be that of the architecture in ``info``."""
    _check_names(state, empty(info, path.name), path.name)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with writing(path):
        save_file(tensors, path, metadata=metadata(metadata_of(info)))


def write_state(state: Mapping[str, Tensor], info: CheckpointInfo, path: Path) -> None:
    """The same bytes as :func:`save_state`, written into the file itself and not into a new one that takes its name: for a
    process that may write this one file and make no other. They are in memory once more."""
    _check_names(state, empty(info, path.name), path.name)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    new = not path.exists()
    try:
        path.write_bytes(serialized(tensors, metadata=metadata(metadata_of(info))))
    except BaseException:
        if new:
            path.unlink(missing_ok=True)
        raise


def load(path: Path, info: CheckpointInfo | None = None) -> tuple[BaseClassifier, CheckpointInfo]:
    """The base classifier, on the CPU and in eval mode, and its record; a bare file needs ``info`` from the caller.

    Raises :class:`InvalidCheckpoint` where the file is broken or its tensors are not those of its architecture.
    """
    header = read_header(path, InvalidCheckpoint)
    found = info_in(header, path.name) if info is None else info
    return assemble(read_tensors(path), found, path.name), found


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, whatever they are."""
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InvalidCheckpoint(expected="a safetensors file", got=str(error)[:300], where=path.name) from None


def assemble(state: Mapping[str, Tensor], info: CheckpointInfo, where: str) -> BaseClassifier:
    """The base classifier that ``info`` describes, with these weights, in eval mode. Draws no random number."""
    model = empty(info, where)
    model.network.load_state_dict(fit_state(state, model, where), assign=True)
    return model.eval()


def fit_state(state: Mapping[str, Tensor], model: BaseClassifier, where: str) -> dict[str, Tensor]:
    """A copy of ``state`` as the model's network needs it: its names and shapes, float32 (counters int64), finite.

    ``model`` may be without storage. Raises :class:`InvalidCheckpoint`, naming at most five tensors.
    """
    _check_names(state, model, where)
    expected = model.network.state_dict()
    fitted = {name: _converted(name, state[name], wanted, where) for name, wanted in expected.items()}
    for name, tensor in fitted.items():
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            raise InvalidCheckpoint(
                expected="finite weights", got=f"{bad:,} that are NaN or infinite in {name}", where=where
            )
    return fitted


def empty(info: CheckpointInfo, where: str) -> BaseClassifier:
    """The base classifier that ``info`` describes, its network without storage; a composite's parts are there in turn."""
    if info.composition is not None:
        parts = [empty(part, f"{where}, part {place}") for place, part in enumerate(info.parts)]
        with torch.device("meta"):
            return BaseClassifier(composites.network(info.composition, parts), None, info.architecture)
    try:
        return skeleton(
            info.architecture,
            num_classes=info.num_classes,
            input_shape=info.input_shape,
            normalization=info.normalization,
        )
    except Mismatch as error:
        raise InvalidCheckpoint(expected=error.expected, got=error.got, where=f"{where}, {error.where}") from None


def _check_names(state: Mapping[str, Tensor], model: BaseClassifier, where: str) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = [f"{n} {found[n]}, not {expected[n]}" for n in expected if n in found and found[n] != expected[n]]
    faults = {
        "missing": [name for name in expected if name not in found],
        "extra": [name for name in found if name not in expected],
        "of another shape": wrong,
    }
    if any(faults.values()):
        raise InvalidCheckpoint(
            expected=f"the {len(expected)} tensors of {model.architecture}",
            got="; ".join(f"{len(names)} {fault}: {listed(names)}" for fault, names in faults.items() if names),
            where=where,
        )


def _converted(name: str, tensor: Tensor, wanted: Tensor, where: str) -> Tensor:
    same_kind = tensor.is_floating_point() == wanted.is_floating_point() and not tensor.is_complex()
    dense = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
    if not dense or not same_kind or tensor.dtype == torch.bool:
        kind = "floating-point" if wanted.is_floating_point() else "integer"
        raise InvalidCheckpoint(
            expected=f"a dense {kind} tensor {name}",
            got=f"{tensor.dtype}, {tensor.layout}, on {tensor.device}",
            where=where,
        )
    # Always a copy: a tensor read from a file may be a view of that file.
    return tensor.detach().to(wanted.dtype, copy=True).contiguous()
