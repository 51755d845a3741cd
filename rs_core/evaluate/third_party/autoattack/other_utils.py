"""The norms that the attacks import by these names; batches (B, ...), one number for each member."""

from torch import Tensor


def L0_norm(x: Tensor) -> Tensor:
    """Number of entries that are not 0."""
    return (x != 0).flatten(1).sum(1)


def L1_norm(x: Tensor, keepdim: bool = False) -> Tensor:
    """Sum of absolute values."""
    return _shaped(x.abs().flatten(1).sum(1), x, keepdim)


def L2_norm(x: Tensor, keepdim: bool = False) -> Tensor:
    """Euclidean norm."""
    return _shaped((x**2).flatten(1).sum(1).sqrt(), x, keepdim)


def zero_gradients(x: Tensor) -> None:
    """Clears the gradient of a leaf."""
    if x.grad is not None:
        x.grad.detach_()
        x.grad.zero_()


def _shaped(norms: Tensor, x: Tensor, keepdim: bool) -> Tensor:
    return norms.view(-1, *[1] * (x.dim() - 1)) if keepdim else norms
