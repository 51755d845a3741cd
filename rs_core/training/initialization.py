"""What a training begins with: its seed's initial weights, or given ones; of those everything but the last layer, and that
too where the classes are as many. A mix, whose parts do not learn, is in ``mixed_initialization``."""

import hashlib
import json

import torch
from torch import Tensor

from radii.rs_core.data.dataset import Dataset
from radii.rs_core.errors import Mismatch
from radii.rs_core.models import registry as models
from radii.rs_core.models.base_classifier import BaseClassifier, Normalize
from radii.rs_core.models.mixed import MixedClassifier
from radii.rs_core.noise.streams import Stage, generator
from radii.rs_core.specs.composition import A_MIX
from radii.rs_core.specs.jobs import Normalization, TrainSpec, dump_spec, normalization
from radii.rs_core.specs.training import trains_a_mix
from radii.rs_core.training.compatibility import check_start, model_shape
from radii.rs_core.training.mixed_initialization import first_mixture


def first_model(spec: TrainSpec, data: Dataset, start: BaseClassifier | None) -> BaseClassifier:
    """The model that training begins with, on the CPU."""
    if trains_a_mix(spec.method):
        if start is None:
            raise Mismatch(expected=A_MIX, got="none", where="start_from")
        return first_mixture(spec, model_shape(spec, data.shape), start)
    assert spec.architecture is not None
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator(spec.seed, 0, Stage.INITIAL_WEIGHTS).get_state())
        model = models.build(
            spec.architecture,
            num_classes=data.num_classes,
            input_shape=model_shape(spec, data.shape),
            normalization=normalization(spec.normalization),
        )
    if start is not None:
        start_from(start, spec, model)
    return model


def start_from(start: BaseClassifier, spec: TrainSpec, model: BaseClassifier) -> None:
    """Gives ``model``, the fresh one of ``spec``, the weights of ``start``; its last layer stays new where the number of
    classes differs. Raises :class:`Mismatch` where they are not of one architecture and normalisation."""
    assert spec.architecture is not None
    check_start(spec, start.architecture, _normalization(start))
    own, given = model.network.state_dict(), start.network.state_dict()
    head = models.architecture(spec.architecture).head + "."
    taken = own.keys() - ({name for name in own if name.startswith(head)} if _differ(own, given, head) else set())
    for name in sorted(taken):
        if name not in given or given[name].shape != own[name].shape:
            got = f"one of {tuple(given[name].shape)}" if name in given else "none"
            raise Mismatch(expected=f"a tensor {name} of {tuple(own[name].shape)}", got=got, where="start_from")
        own[name].copy_(given[name])


def fingerprint(model: BaseClassifier) -> str:
    """A hash of all weights and their names; of a mix, of what it is and of its parts' normalisations, too."""
    digest = hashlib.sha256()
    if isinstance(network := model.network, MixedClassifier):
        constants = [_normalization(part) for part in (network.standard, network.robust)]
        known = [dump_spec(network.spec), *(None if one is None else dump_spec(one) for one in constants)]
        digest.update(json.dumps(known, sort_keys=True).encode())
    for name, tensor in sorted(model.network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _differ(own: dict[str, Tensor], given: dict[str, Tensor], head: str) -> bool:
    return any(name.startswith(head) and name in given and given[name].shape != own[name].shape for name in own)


def _normalization(model: BaseClassifier) -> Normalization | None:
    layer = model.normalize
    if not isinstance(layer, Normalize):
        return None
    return Normalization(mean=tuple(layer.mean.flatten().tolist()), std=tuple(layer.std.flatten().tolist()))
