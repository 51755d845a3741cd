"""The optimisers of a training, and what they remember between steps, by the names of the weights.

``sgd`` is SGD with momentum, its weight decay added to the gradient: that of the public code behind Cohen et al. 2019
(arXiv 1902.02918) and Jeong et al. (arXiv 2006.04062). ``adamw`` has its decay beside the gradient: Loshchilov and Hutter,
"Decoupled Weight Decay Regularization", 2017, arXiv 1711.05101, with torch's betas of 0.9 and 0.999. Rates are in
``schedules``.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from radii.rs_core.specs.jobs import TrainSpec

STATES = {"momentum": "momentum_buffer", "mean": "exp_avg", "square": "exp_avg_sq", "steps": "step"}
"""What an optimiser may remember of a weight: its name in a snapshot, and torch's. The names are part of the format."""


def optimizer_of(spec: TrainSpec, module: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of all weights of ``module``, which remembers nothing yet."""
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(module.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
    return torch.optim.SGD(
        module.parameters(), lr=spec.learning_rate, momentum=spec.momentum, weight_decay=spec.weight_decay
    )


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, clip_norm: float | None = None) -> None:
    """One step of that rate against the gradient of ``loss``, which is shortened where its l2 norm is above ``clip_norm``."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if clip_norm is not None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grad_norm_(weights, clip_norm)
    optimizer.step()


def remembered(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """What the optimiser of ``module`` remembers, on the CPU, as ``momentum.NAME`` and so on. It goes on with these very
    tensors where it is there itself."""
    found: dict[str, Tensor] = {}
    for name, weight in module.named_parameters():
        state = optimizer.state.get(weight, {})
        found |= {f"{ours}.{name}": state[theirs] for ours, theirs in STATES.items() if state.get(theirs) is not None}
    return {name: tensor.detach().cpu() for name, tensor in found.items()}


def remind(optimizer: torch.optim.Optimizer, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Gives the optimiser back what it remembered; other tensors are passed over."""
    for name, weight in module.named_parameters():
        for ours, theirs in STATES.items():
            if (tensor := tensors.get(f"{ours}.{name}")) is not None:
                optimizer.state[weight][theirs] = tensor.clone() if theirs == "step" else _beside(weight, tensor)


def _beside(weight: Tensor, tensor: Tensor) -> Tensor:
    """On the weight's device and in its order of memory, as in an unbroken run."""
    return torch.empty_like(weight, requires_grad=False).copy_(tensor)
