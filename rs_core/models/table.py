"""The architectures by name, as one table that can be read.

A row names its builder as ``module:function``; the module, and torch with it, is imported only when a network is built,
so this table can be shown by processes that hold no torch. A builder takes ``num_classes`` and ``input_shape`` and
returns the bare network; :func:`build` puts the normalisation before it. Training, weights and devices are left to
others.

Layer sizes are those of the public code of the field (LeNet, CIFAR ResNet-20/110, torchvision's ResNet-50).
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from rs_core.errors import Mismatch, UnknownArchitecture
from rs_core.spec import Normalization

if TYPE_CHECKING:
    from torch import nn

    from rs_core.models.normalize import BaseClassifier

Shape = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One row: ``input_shape`` is (C, H, W), ``None`` where the sides are free; ``head`` names the last layer."""

    name: str
    builder: str
    input_shape: Shape | None
    channels: int
    head: str
    description: str
    reference: str


_HE = "He et al., Deep Residual Learning for Image Recognition, 2015, arXiv 1512.03385"

ARCHITECTURES: dict[str, Architecture] = {
    row.name: row
    for row in (
        Architecture(
            name="lenet",
            builder="rs_core.models.lenet:lenet",
            input_shape=(1, 28, 28),
            channels=1,
            head="fc2",
            description="two 5x5 convolutions (20, 50) and two linear layers (500); MNIST and Fashion-MNIST",
            reference="LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998",
        ),
        Architecture(
            name="cifar_resnet20",
            builder="rs_core.models.cifar_resnet:cifar_resnet20",
            input_shape=(3, 32, 32),
            channels=3,
            head="fc",
            description="residual network of depth 20 for 32x32 images, widths 16, 32, 64",
            reference=f"{_HE}, section 4.2",
        ),
        Architecture(
            name="cifar_resnet110",
            builder="rs_core.models.cifar_resnet:cifar_resnet110",
            input_shape=(3, 32, 32),
            channels=3,
            head="fc",
            description="residual network of depth 110 for 32x32 images, widths 16, 32, 64; the field's CIFAR network",
            reference=f"{_HE}, section 4.2",
        ),
        Architecture(
            name="resnet50",
            builder="rs_core.models.imagenet_resnet:resnet50",
            input_shape=None,
            channels=3,
            head="fc",
            description="torchvision's ResNet-50, three channels of any size; published on ImageNet at 224x224",
            reference=f"{_HE}, table 1",
        ),
        Architecture(
            name="digits_cnn",
            builder="rs_core.models.digits_cnn:digits_cnn",
            input_shape=(1, 8, 8),
            channels=1,
            head="fc2",
            description="two 3x3 convolutions (16, 32) and two linear layers (64) for 8x8 handwritten digits",
            reference="a small network of this project",
        ),
    )
}


def names() -> tuple[str, ...]:
    """Every architecture's name, in the table's order."""
    return tuple(ARCHITECTURES)


def architecture(name: str) -> Architecture:
    """The row of that name; :class:`UnknownArchitecture` says which there are."""
    if name not in ARCHITECTURES:
        raise UnknownArchitecture(expected=f"one of {', '.join(names())}", got=repr(name)[:200], where="architecture")
    return ARCHITECTURES[name]


def check(name: str, *, num_classes: int, input_shape: Shape, normalization: Normalization | None = None) -> None:
    """Whether :func:`build` would accept this; raises what it would raise, and needs no torch."""
    row = architecture(name)
    if row.input_shape is not None and tuple(input_shape) != row.input_shape:
        raise Mismatch(
            expected=f"images of shape {row.input_shape} (channels, height, width)",
            got=f"{tuple(input_shape)}",
            where=name,
        )
    if input_shape[0] != row.channels:
        raise Mismatch(expected=f"images of {row.channels} channels", got=f"shape {tuple(input_shape)}", where=name)
    if normalization is not None and len(normalization.mean) != row.channels:
        raise Mismatch(
            expected=f"a normalisation of {row.channels} channels", got=f"one of {len(normalization.mean)}", where=name
        )
    if num_classes < 2:
        raise Mismatch(expected="at least 2 classes", got=str(num_classes), where=name)


def build(
    name: str, *, num_classes: int, input_shape: Shape, normalization: Normalization | None = None
) -> "BaseClassifier":
    """A freshly initialised base classifier: (B, C, H, W) in [0, 1] -> logits (B, num_classes).

    Initial weights come from torch's global generator. Raises :class:`UnknownArchitecture`, and :class:`Mismatch` where
    the network cannot take ``input_shape``, the normalisation has other channels, or there are fewer than two classes.
    """
    from rs_core.models.normalize import BaseClassifier

    return BaseClassifier(_network(name, num_classes, input_shape, normalization), normalization, name)


def skeleton(
    name: str, *, num_classes: int, input_shape: Shape, normalization: Normalization | None = None
) -> "BaseClassifier":
    """The same without weights: parameters have shapes but no storage (torch's meta device), and no number is drawn."""
    import torch

    from rs_core.models.normalize import BaseClassifier

    with torch.device("meta"):
        network = _network(name, num_classes, input_shape, normalization)
    return BaseClassifier(network, normalization, name)


def _network(name: str, num_classes: int, input_shape: Shape, normalization: Normalization | None) -> "nn.Module":
    check(name, num_classes=num_classes, input_shape=input_shape, normalization=normalization)
    module, function = architecture(name).builder.split(":")
    builder = cast("Callable[[int, Shape], nn.Module]", getattr(import_module(module), function))
    return builder(num_classes, input_shape)
