"""What modules inside a network give during a pass: the feature maps that a mixing network reads."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from radii.rs_core.errors import Mismatch
from radii.rs_core.models.base_classifier import BaseClassifier


@contextmanager
def kept(network: nn.Module, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Inside, what the modules of those names gave last, by name. Nothing of it stays on the network."""
    found: dict[str, Any] = {}

    def keeper(name: str) -> Any:
        return lambda module, given, output: found.update({name: output})

    hooks = [network.get_submodule(name).register_forward_hook(keeper(name)) for name in names]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def logits_and_maps(classifier: BaseClassifier, x: Tensor, names: tuple[str, str]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, K) of ``x`` (B, C, H, W), and the outputs (B, c, h, w) of two modules of its network."""
    with kept(classifier.network, names) as found:
        logits = classifier(x)
    return logits, found[names[0]], found[names[1]]


@torch.no_grad()
def channels_of(classifier: BaseClassifier, shape: tuple[int, int, int], names: tuple[str, str]) -> tuple[int, int]:
    """Channels of the two maps for images of ``shape`` (C, H, W). Raises :class:`Mismatch` where there are no such modules,
    or where they give something else than maps."""
    where = f"features of {classifier.architecture}"
    known = dict(classifier.network.named_modules())
    missing = [name for name in names if name not in known]
    if missing:
        raise Mismatch(expected="the names of two modules", got=", ".join(missing), where=where)
    training, parameter = classifier.training, next(classifier.parameters())
    try:
        _, first, second = logits_and_maps(classifier.eval(), torch.zeros(1, *shape, device=parameter.device), names)
    finally:
        classifier.train(training)
    for found in (first, second):
        if not isinstance(found, Tensor) or found.ndim != 4:
            got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise Mismatch(expected="feature maps (B, c, h, w)", got=got, where=where)
    return first.shape[1], second.shape[1]
