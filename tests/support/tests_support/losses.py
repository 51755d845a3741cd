"""A small fixed problem for the losses of training methods: two networks, a batch, and one measured evaluation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from radii.rs_core.methods.base import LossTerms, Step
from radii.rs_core.methods.registry import loss_function
from radii.rs_core.noise.streams import Stage, generator

CLASSES = 5
SHAPE = (2, 6, 6)
SIGMA = 0.25
FIRST_DROP = 51


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A loss, its gradient for all parameters as one vector, and the model that it was measured on."""

    loss: float
    gradient: Tensor
    model: nn.Module


def network(*, batch_norm: bool = False, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A smooth little network with fixed weights, so that rounding meets no kink; in training mode.

    With ``batch_norm``, running statistics are away from 0 and 1, so that evaluation mode is another function.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        layers: list[nn.Module] = [nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2)]
        layers += [nn.Flatten(), nn.Linear(36, CLASSES)]
        model = nn.Sequential(*layers)
        for parameter in model.parameters():
            parameter.data.mul_(4.0)
        if batch_norm:
            model.insert(1, _batch_norm(4))
    return model.to(dtype).train()


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels)
    layer.weight.data.uniform_(0.5, 1.5)
    layer.bias.data.normal_(0.0, 0.3)
    layer.running_mean = 0.4 * torch.randn(channels)
    layer.running_var = 0.5 + 2 * torch.rand(channels)
    return layer


def images(count: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    """Images (count, 2, 6, 6) with some pixels at exactly 0 and 1."""
    stream = torch.Generator().manual_seed(11)
    return (1.4 * torch.rand((count, *SHAPE), generator=stream) - 0.2).clamp(0, 1).to(dtype)


def labels(count: int = 5) -> Tensor:
    """Labels: what the network without batch normalisation says, but for the second image and the last."""
    with torch.no_grad():
        y = network()(images(count)).argmax(1)
    y[1], y[-1] = (y[1] + 1) % CLASSES, (y[-1] + 2) % CLASSES
    return y


def labels_for(hp: Any) -> Tensor:
    """Labels that a method can be given: under Adaptive Smoothing the network's last output is gamma, and no class."""
    of_a_mix = getattr(hp, "name", None) == "adaptive_smoothing"
    return labels() % (CLASSES - 1) if of_a_mix else labels()


def soft_labels(count: int = 5) -> Tensor:
    """Vote frequencies (count, 5), mostly for the label; two rows have zeros."""
    votes = torch.rand((count, CLASSES), generator=torch.Generator().manual_seed(13))
    votes[torch.arange(count), labels(count)] += 2.0
    votes[0] = torch.eye(CLASSES)[labels(count)[0]]
    votes[1, labels(count)[1] - 1] = 0.0
    return votes / votes.sum(1, keepdim=True)


def step(*, epoch: int = 20, seed: int = 0, sigma: float = SIGMA, soft: Tensor | None = None, at: int = 0) -> Step:
    """A step at the beginning of its own stream; soft labels are those of :func:`soft_labels` unless given."""
    return Step(
        sigma=sigma,
        epoch=epoch,
        epochs=150,
        first_drop=FIRST_DROP,
        step=at,
        generator=generator(seed, epoch, Stage.TRAINING, at),
        soft_labels=soft_labels() if soft is None else soft,
    )


def implemented(hp: Any, model: nn.Module, x: Tensor, y: Tensor, where: Step) -> Tensor:
    """The library's loss."""
    return loss_function(hp.name)(hp, model, x, y, where).total


def measure(
    loss: Callable[..., Tensor],
    hp: Any,
    *,
    batch_norm: bool = False,
    dtype: torch.dtype = torch.float64,
    x: Tensor | None = None,
    y: Tensor | None = None,
    model: nn.Module | None = None,
    **where: Any,
) -> Measured:
    """One evaluation with its gradient, on fresh copies of everything."""
    model = network(batch_norm=batch_norm, dtype=dtype) if model is None else model
    x = images(dtype=dtype) if x is None else x
    y = labels_for(hp) if y is None else y
    total = loss(hp, model, x, y, step(**where))
    total.backward()  # type: ignore[no-untyped-call]
    parts = [p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]
    return Measured(loss=total.item(), gradient=torch.cat([part.flatten() for part in parts]), model=model)


def apart(got: Measured, wanted: Measured) -> tuple[float, float]:
    """Relative differences of loss and gradient."""
    difference = (got.gradient.double() - wanted.gradient.double()).norm() / wanted.gradient.double().norm()
    return abs(got.loss - wanted.loss) / abs(wanted.loss), difference.item()


def assert_same(first: Any, second: Any, tolerance: float = 1e-12, **where: Any) -> None:
    """Two methods give the same loss and gradient."""
    assert_near(measure(implemented, first, **where), measure(implemented, second, **where), tolerance)


def assert_near(got: Measured, wanted: Measured, tolerance: float = 1e-12) -> None:
    """Loss and gradient agree to this relative difference."""
    loss, gradient = apart(got, wanted)
    assert loss < tolerance
    assert gradient < tolerance


def terms(hp: Any, *, model: nn.Module | None = None, y: Tensor | None = None, **where: Any) -> LossTerms:
    """What the library's loss says in full, on the problem's images."""
    model = network() if model is None else model
    return loss_function(hp.name)(hp, model, images(), labels() if y is None else y, step(**where))


class Recorded(nn.Module):
    """A network that keeps the images it is shown, each pass with the mode it was in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.passes: list[tuple[bool, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.passes.append((self.training, x.detach().clone()))
        return self.network(x)  # type: ignore[no-any-return]

    def learned(self) -> list[Tensor]:
        """What the training-mode passes were shown."""
        return [x for training, x in self.passes if training]


class Offset(nn.Module):
    """Logits that are weights, the image only adding a little to the first: every copy has the same prediction."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1) + 1e-3 * F.one_hot(torch.tensor(0), CLASSES) * x.mean((1, 2, 3))[:, None]


def constant(logits: list[float]) -> Offset:
    """A network with nearly these logits everywhere, in training mode."""
    return Offset(logits).train()
