"""The training pass of a network: in reduced precision, in another order of memory, or with fewer activations kept.

A method calls what :func:`training_forward` gives in place of the model. The weights stay in float32 and logits come back
in float32, so that losses, and what attacks compute from them, are those of an ordinary pass.

To keep fewer activations, some are computed again when the gradient is asked for (Chen et al., "Training Deep Nets with
Sublinear Memory Cost", 2016, arXiv 1604.06174). Where every image goes its own way the batch is cut into pieces: the
logits are the same, and gradients too, up to the order of their sums. Batch normalisation in training mode sees the whole
batch, which may then not be cut: the network is, between its blocks, and every number is that of the ordinary pass.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from radii.rs_core.errors import Mismatch
from radii.rs_core.specs.fields import Precision

Segment = Callable[..., Any]


def training_forward(
    model: nn.Module,
    *,
    precision: Precision = "fp32",
    memory_format: Literal["contiguous", "channels_last"] = "contiguous",
    forward_batch: int | None = None,
) -> nn.Module:
    """What a training method calls; the model itself where nothing is asked for."""
    if (precision, memory_format, forward_batch) == ("fp32", "contiguous", None):
        return model
    return TrainingForward(model, precision=precision, memory_format=memory_format, forward_batch=forward_batch)


class TrainingForward(nn.Module):
    """``model`` as training runs it: (B, C, H, W) -> logits (B, K), float32.

    ``precision`` is that of matrix products and convolutions; ``channels_last`` converts the model's weights in place;
    ``forward_batch`` is the number of images whose activations are kept.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        precision: Precision = "fp32",
        memory_format: Literal["contiguous", "channels_last"] = "contiguous",
        forward_batch: int | None = None,
    ) -> None:
        super().__init__()
        self.channels_last = memory_format == "channels_last"
        self.model = model.to(memory_format=torch.channels_last) if self.channels_last else model
        self.precision, self.forward_batch = precision, forward_batch

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K), float32."""
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        if self.forward_batch is None or len(x) <= self.forward_batch:
            return self._whole(x)
        if not sees_the_batch(self.model):
            return self._in_pieces(x, self.forward_batch)
        if not torch.is_grad_enabled():
            return self._whole(x)
        with block_by_block(self.model):
            return self._whole(x)

    def _whole(self, x: Tensor) -> Tensor:
        if self.precision == "fp32":
            return cast(Tensor, self.model(x))
        # Nothing cached: a block that is computed again must save what it saved at first.
        with torch.autocast(x.device.type, dtype=torch.bfloat16, cache_enabled=False):
            logits = self.model(x)
        return cast(Tensor, logits.float())

    def _in_pieces(self, x: Tensor, size: int) -> Tensor:
        """The last piece keeps its activations: its gradient comes first, so they are gone when others are needed."""
        *pieces, last = torch.split(x, size)
        of = [self.model] if self.model.training else []
        run = partial(_again_later, self._whole, of=of) if torch.is_grad_enabled() else self._whole
        return torch.cat([*map(run, pieces), self._whole(last)])


def sees_the_batch(model: nn.Module) -> bool:
    """Whether an image's logits depend on the other images: batch normalisation by the batch's own statistics."""
    return any(
        isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)
        for module in model.modules()
    )


@contextmanager
def block_by_block(model: nn.Module) -> Iterator[None]:
    """Inside, a forward pass of ``model`` keeps what enters each block, and computes the rest again for the gradient.

    Blocks are the parts of ``nn.Sequential`` containers, a few at a time, and other modules made of modules. Buffers, such
    as running statistics, are changed once. Raises :class:`Mismatch` where there is no such block.
    """
    replaced: list[nn.Module] = []
    try:
        for block in blocks(model):
            block.__dict__["forward"] = _sequence(block) if type(block) is nn.Sequential else _block(block)
            replaced.append(block)
        if not replaced:
            raise Mismatch(
                expected="a network of blocks (nn.Sequential, or modules made of modules), to keep fewer activations",
                got=f"{type(model).__name__}, whose batch normalisation sees the whole batch",
                where="forward_batch",
            )
        yield
    finally:
        for block in replaced:
            del block.__dict__["forward"]


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The outermost parts of ``model`` that can be computed again by themselves, none inside another."""
    for child in model.children():
        if type(child) is nn.Sequential:
            yield child
        elif isinstance(child, nn.ModuleList | nn.ModuleDict) or _holds_sequence(child):
            yield from blocks(child)
        elif next(child.children(), None) is not None:
            yield child


def _holds_sequence(module: nn.Module) -> bool:
    return any(type(part) is nn.Sequential for part in module.modules())


def _block(block: nn.Module) -> Segment:
    forward = block.forward

    def run(*inputs: Any, **named: Any) -> Any:
        return _again_later(forward, *inputs, of=[block], **named)

    return run


def _sequence(sequence: nn.Sequential) -> Segment:
    def run(x: Any) -> Any:
        for group in grouped(list(_flat(sequence))):
            x = _again_later(partial(_through, group), x, of=group)
        return x

    return run


def _flat(sequence: nn.Sequential) -> Iterator[nn.Module]:
    """Its parts, and those of sequences in it, but for one whose output somebody wants to see (``features``)."""
    for part in sequence:
        if type(part) is nn.Sequential and not part._forward_hooks:
            yield from _flat(part)
        else:
            yield part


def _through(modules: list[nn.Module], x: Any) -> Any:
    for module in modules:
        x = module(x)
    return x


def grouped(parts: list[nn.Module]) -> list[list[nn.Module]]:
    """Parts in a row, as many together as is best for memory: kept at once are all groups' inputs and one group's inside.

    A block of a residual network keeps about four tensors of the size of its input, hence sqrt(parts / 4) in a group.
    A layer that works in place never begins one: it would change what was kept.
    """
    size = max(1, round(math.sqrt(len(parts) / 4)))
    groups: list[list[nn.Module]] = []
    for part in parts:
        if not groups or (len(groups[-1]) >= size and not getattr(part, "inplace", False)):
            groups.append([])
        groups[-1].append(part)
    return groups


def _again_later(function: Segment, *inputs: Any, of: Iterable[nn.Module] = (), **named: Any) -> Any:
    """``function``'s output, all else that it makes being thrown away and made again when gradients need it.

    The second time layers draw the same random numbers, and buffers of the modules ``of`` are copies.
    """
    modules = list(of)
    before = [(value, value._version) for value in inputs if isinstance(value, Tensor)]

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _spare_buffers(modules)

    output = checkpoint(function, *inputs, use_reentrant=False, context_fn=contexts, **named)
    if any(value._version != version for value, version in before):
        raise Mismatch(
            expected="a network whose blocks leave their inputs as they are, to keep fewer activations",
            got=f"{type(modules[0]).__name__ if modules else 'one'} that works in place",
            where="forward_batch",
        )
    return output


@contextmanager
def _spare_buffers(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Inside, the modules have copies of their buffers; afterwards their own, untouched."""
    with ExitStack() as stack:
        for part in {part for module in modules for part in module.modules() if part._buffers}:
            own = dict(part._buffers)
            stack.callback(part._buffers.update, own)
            part._buffers.update({name: None if value is None else value.clone() for name, value in own.items()})
        yield
