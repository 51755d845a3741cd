"""The architectures by name, as one table that can be read.

A row names its builder as ``module:function``; the module, and torch with it, is imported only when a network is built,
so this table can be shown by processes that hold no torch. A builder takes ``num_classes`` and ``input_shape`` and
returns the bare network; :func:`build` puts the normalisation before it. Training, weights and devices are left to
others.

There are three sources: ours, whose layer sizes are those of the public code of the field (LeNet, CIFAR ResNet-20/110,
torchvision's ResNet-50, the wide and pre-activation ResNets of robust classifiers, the denoiser DnCNN); every classification network of torchvision, as ``torchvision/NAME``; and those that the
operator adds by a file (``plugins``), for which :func:`use` is called once when a process starts.
"""

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from radii.rs_core.errors import Mismatch, UnknownArchitecture
from radii.rs_core.models.architecture import Architecture, Shape
from radii.rs_core.models.torchvision_names import FAMILIES, PREFIX
from radii.rs_core.specs.composition import is_composite
from radii.rs_core.specs.jobs import Normalization

if TYPE_CHECKING:
    from torch import nn

    from radii.rs_core.models.base_classifier import BaseClassifier


_PREACT = "He et al., Identity Mappings in Deep Residual Networks, 2016, arXiv 1603.05027"
_HE = "He et al., Deep Residual Learning for Image Recognition, 2015, arXiv 1512.03385"

ARCHITECTURES: dict[str, Architecture] = {
    row.name: row
    for row in (
        Architecture(
            name="lenet",
            builder="radii.rs_core.models.lenet:lenet",
            input_shape=(1, 28, 28),
            channels=1,
            head="fc2",
            features=("conv1", "conv2"),
            description="two 5x5 convolutions (20, 50) and two linear layers (500); MNIST and Fashion-MNIST",
            reference="LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998",
        ),
        Architecture(
            name="cifar_resnet20",
            builder="radii.rs_core.models.cifar_resnet:cifar_resnet20",
            input_shape=(3, 32, 32),
            channels=3,
            head="fc",
            features=("layer1", "layer2"),
            description="residual network of depth 20 for 32x32 images, widths 16, 32, 64",
            reference=f"{_HE}, section 4.2",
        ),
        Architecture(
            name="cifar_resnet110",
            builder="radii.rs_core.models.cifar_resnet:cifar_resnet110",
            input_shape=(3, 32, 32),
            channels=3,
            head="fc",
            features=("layer1", "layer2"),
            description="residual network of depth 110 for 32x32 images, widths 16, 32, 64; the field's CIFAR network",
            reference=f"{_HE}, section 4.2",
        ),
        Architecture(
            name="resnet50",
            builder="radii.rs_core.models.imagenet_resnet:resnet50",
            input_shape=None,
            channels=3,
            head="fc",
            features=("layer1", "layer2"),
            description="torchvision's ResNet-50, three channels of any size; published on ImageNet at 224x224",
            reference=f"{_HE}, table 1",
        ),
        Architecture(
            name="digits_cnn",
            builder="radii.rs_core.models.digits_cnn:digits_cnn",
            input_shape=(1, 8, 8),
            channels=1,
            head="fc2",
            features=("conv1", "conv2"),
            description="two 3x3 convolutions (16, 32) and two linear layers (64) for 8x8 handwritten digits",
            reference="a small network of this project",
        ),
        *(
            Architecture(
                name=f"wrn_{depth}_{width}{ending}",
                builder=f"radii.rs_core.models.wide_resnet:wrn_{depth}_{width}{ending}",
                input_shape=(3, 32, 32),
                channels=3,
                head=head,
                features=features,
                unread=unread,
                description=f"wide residual network of depth {depth} and width {width}, as in {layout}",
                reference="Zagoruyko and Komodakis, Wide Residual Networks, 2016, arXiv 1605.07146",
            )
            for ending, head, features, unread, layout in (
                (
                    "",
                    "fc",
                    ("block1", "block2"),
                    ("sub_block1.",),
                    "TRADES and most of RobustBench (block1.layer.0.bn1)",
                ),
                (
                    "_silu",
                    "logits",
                    ("layer.0", "layer.1"),
                    (),
                    "RobustBench's SiLU ones (layer.0.block.0.batchnorm_0)",
                ),
            )
            for depth, width in ((28, 10), (70, 16))
        ),
        Architecture(
            name="preact_resnet18",
            builder="radii.rs_core.models.preact_resnet:preact_resnet18",
            input_shape=(3, 32, 32),
            channels=3,
            head="linear",
            features=("layer1", "layer2"),
            description="pre-activation ResNet-18 for 32x32 images, normalised before the pooling, as in Rice et al. 2020",
            reference=_PREACT,
        ),
        Architecture(
            name="preact_resnet18_silu",
            builder="radii.rs_core.models.preact_resnet:preact_resnet18_silu",
            input_shape=(3, 32, 32),
            channels=3,
            head="logits",
            features=("layer_0", "layer_1"),
            description="pre-activation ResNet-18 for 32x32 images, as in RobustBench's SiLU ones (layer_0.0.batchnorm_0)",
            reference=_PREACT,
        ),
        Architecture(
            name="dncnn",
            builder="radii.rs_core.models.dncnn:dncnn",
            input_shape=None,
            channels=None,
            head="",
            role="denoiser",
            description="denoiser of depth 17 and width 64, for any images: goes before a classifier (compose denoised)",
            reference="Zhang et al., Beyond a Gaussian Denoiser, 2017, arXiv 1608.03981",
        ),
    )
}


TORCHVISION: dict[str, Architecture] = {
    PREFIX + name: Architecture(
        name=PREFIX + name,
        builder="radii.rs_core.models.torchvision_models:network",
        input_shape=None,
        channels=3,
        head=family.head,
        description=f"torchvision's {name}, freshly initialised",
        reference=family.reference,
        source="torchvision",
        features=family.features,
        smallest_side=family.smallest,
        side_multiple=family.multiple,
        square=family.square,
    )
    for family in FAMILIES
    for name in family.names
}

_REGISTERED: dict[str, Architecture] = {}
_FILE: list[Path] = []


def use(path: Path | str | None) -> None:
    """Takes in the file of registered architectures, in place of what was registered before; ``None`` is none.

    Raises :class:`InvalidSpec` where the file is not sound.
    """
    from radii.rs_core.models.plugins import read

    rows = read(Path(path), ARCHITECTURES) if path else {}
    _REGISTERED.clear()
    _REGISTERED.update(rows)
    _FILE[:] = [Path(path).absolute()] if path else []


def registered_file() -> str | None:
    """The file that is in use, for another process to use it too."""
    return str(_FILE[0]) if _FILE else None


def registered() -> tuple[Architecture, ...]:
    """The rows of the file that is in use."""
    return tuple(_REGISTERED.values())


def names() -> tuple[str, ...]:
    """Every architecture's name: the table's, the registered ones, torchvision's."""
    return (*ARCHITECTURES, *_REGISTERED, *TORCHVISION)


def rows() -> tuple[Architecture, ...]:
    """Every architecture, in the order of :func:`names`."""
    return tuple(architecture(name) for name in names())


def architecture(name: str) -> Architecture:
    """The row of that name; :class:`UnknownArchitecture` says which there are."""
    for table in (ARCHITECTURES, _REGISTERED, TORCHVISION):
        if name in table:
            return table[name]
    if is_composite(name):
        raise UnknownArchitecture(
            expected="one network: a composite is put together out of trained models (compose), and is not trained itself",
            got=repr(name)[:200],
            where="architecture",
        )
    near = _near(name[:100])
    advice = f" (perhaps {' or '.join(near)})" if near else ""
    raise UnknownArchitecture(expected=f"{choice()}{advice}", got=repr(name)[:200], where="architecture")


def choice() -> str:
    """What there is to choose from, in words."""
    return f"one of {', '.join((*ARCHITECTURES, *_REGISTERED))}, or torchvision/NAME"


def _near(name: str) -> list[str]:
    """Names that somebody who wrote ``name`` may have meant."""
    short = {full: full.removeprefix(PREFIX) for full in names()}
    close = difflib.get_close_matches(name.removeprefix(PREFIX), short.values(), n=3)
    return [full for word in dict.fromkeys(close) for full in short if short[full] == word][:3]


def check(name: str, *, num_classes: int, input_shape: Shape, normalization: Normalization | None = None) -> None:
    """Whether :func:`build` would accept this; raises what it would raise, and needs no torch."""
    row = architecture(name)
    if row.input_shape is not None and tuple(input_shape) != row.input_shape:
        raise Mismatch(
            expected=f"images of shape {row.input_shape} (channels, height, width)",
            got=f"{tuple(input_shape)}",
            where=name,
        )
    if row.channels is not None and input_shape[0] != row.channels:
        raise Mismatch(expected=f"images of {row.channels} channels", got=f"shape {tuple(input_shape)}", where=name)
    _check_sides(row, input_shape)
    if normalization is not None and len(normalization.mean) != input_shape[0]:
        raise Mismatch(
            expected=f"a normalisation of {input_shape[0]} channels",
            got=f"one of {len(normalization.mean)}",
            where=name,
        )
    if row.role == "denoiser" and (num_classes != 0 or normalization is not None):
        got = f"{name}, a denoiser: it is composed with a classifier, as a file of trained weights"
        raise Mismatch(expected="an architecture that classifies", got=got, where=name)
    if row.role == "classifier" and num_classes < 2:
        raise Mismatch(expected="at least 2 classes", got=str(num_classes), where=name)


def build(
    name: str, *, num_classes: int, input_shape: Shape, normalization: Normalization | None = None
) -> "BaseClassifier":
    """A freshly initialised base classifier: (B, C, H, W) in [0, 1] -> logits (B, num_classes). A denoiser, with 0 classes
    and no normalisation, gives images (B, C, H, W).

    Initial weights come from torch's global generator. Raises :class:`UnknownArchitecture`, and :class:`Mismatch` where
    the network cannot take ``input_shape``, the normalisation has other channels, or there are fewer than two classes.
    """
    from radii.rs_core.models.base_classifier import BaseClassifier

    return BaseClassifier(_network(name, num_classes, input_shape, normalization), normalization, name)


def skeleton(
    name: str, *, num_classes: int, input_shape: Shape, normalization: Normalization | None = None
) -> "BaseClassifier":
    """The same without weights: parameters have shapes but no storage (torch's meta device), and no number is drawn.

    A registered network is built in full, since its builder may not know of that device; torch's generator is put back.
    """
    from radii.rs_core.models.base_classifier import BaseClassifier

    with _aside() if architecture(name).source == "registered" else _meta():
        network = _network(name, num_classes, input_shape, normalization)
    return BaseClassifier(network, normalization, name)


@contextmanager
def _meta() -> Iterator[None]:
    import torch

    with torch.device("meta"):
        yield


@contextmanager
def _aside() -> Iterator[None]:
    import torch

    with torch.random.fork_rng(devices=[]):
        yield


def _check_sides(row: Architecture, input_shape: Shape) -> None:
    """Whether free sides are ones that the network can take."""
    sides = input_shape[1:]
    fits = min(sides) >= row.smallest_side and all(side % row.side_multiple == 0 for side in sides)
    if not fits or (row.square and len(set(sides)) > 1):
        multiple = f", multiples of {row.side_multiple}" if row.side_multiple > 1 else ""
        raise Mismatch(
            expected=f"{'square ' if row.square else ''}images of at least {row.smallest_side} pixels a side{multiple}",
            got=f"shape {tuple(input_shape)}",
            where=row.name,
        )


def _network(name: str, num_classes: int, input_shape: Shape, normalization: Normalization | None) -> "nn.Module":
    check(name, num_classes=num_classes, input_shape=input_shape, normalization=normalization)
    row = architecture(name)
    if row.source == "registered":
        from radii.rs_core.models.plugins import network

        return network(row, num_classes, input_shape)
    module, function = row.builder.split(":")
    builder = getattr(import_module(module), function)
    if row.source == "torchvision":
        return cast("Callable[[str, int, Shape], nn.Module]", builder)(
            name.removeprefix(PREFIX), num_classes, input_shape
        )
    return cast("Callable[[int, Shape], nn.Module]", builder)(num_classes, input_shape)
