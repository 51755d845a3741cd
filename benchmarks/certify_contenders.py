"""Who is compared in ``certify.py``: the textbook loop, the packaged library, and this engine. Each is a function from an
amount of noise samples to the seconds that it took, over the same image, network and noise level.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from radii.rs_core.certify import engine
from radii.rs_core.certify.autotune import RunConfiguration
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.specs.fields import Precision

SIGMA = 0.25
Contender = Callable[[int], float]


def textbook(network: nn.Module, x: Tensor, num_classes: int, batch: int) -> Contender:
    """The loop of the field's scripts: copies of the input, fresh noise, argmax, counts kept in numpy."""

    def run(samples: int) -> float:
        started = time.perf_counter()
        with torch.no_grad():
            counts = np.zeros(num_classes, dtype=int)
            left = samples
            while left > 0:
                size = min(batch, left)
                left -= size
                copies = x.repeat((size, 1, 1, 1))
                labels = network(copies + torch.randn_like(copies) * SIGMA).argmax(1)
                for label in labels.cpu().numpy():
                    counts[label] += 1
        return time.perf_counter() - started

    return run


def packaged(network: nn.Module, x: Tensor, num_classes: int) -> Contender | None:
    """``certify`` of adversarial-robustness-toolbox at its own batch of 32; None where it is not installed."""
    try:
        from art.estimators.certification.randomized_smoothing import PyTorchRandomizedSmoothing
    except ModuleNotFoundError:
        return None
    smoothed = PyTorchRandomizedSmoothing(
        model=network,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(x.shape),
        nb_classes=num_classes,
        device_type="cpu" if x.device.type == "cpu" else "gpu",
        sample_size=1,
        scale=SIGMA,
        alpha=0.001,
    )
    image = x[None].cpu().numpy()

    def run(samples: int) -> float:
        started = time.perf_counter()
        smoothed.certify(image, n=samples - 1)
        return time.perf_counter() - started

    return run


def ours(
    network: nn.Module, x: Tensor, num_classes: int, configuration: RunConfiguration, precision: Precision
) -> Contender:
    """The engine with a procedure of fixed n, from noise to certificate."""
    sampler = Sampler(
        network,
        SIGMA,
        num_classes,
        batch_size=configuration.batch_size,
        compiled=configuration.compiled,
        precision=precision,
    )

    def run(samples: int) -> float:
        started = time.perf_counter()
        list(engine.certify(sampler, [(0, x, 0)], Procedure(sigma=SIGMA, n0=100, n=max(1, samples - 100))))
        return time.perf_counter() - started

    run(2 * configuration.batch_size)  # prepares, and compiles
    return run


def matrix_rate(precision: Precision, device: torch.device) -> float:
    """Floating-point operations a second of a large matrix product: what the machine has to give."""
    size = 2_048 if device.type == "cpu" else 8_192
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    passes, started = 0, time.perf_counter()
    while passes < 2 or time.perf_counter() - started < 0.5:
        torch.mm(a, b)
        passes += 1
    if device.type == "cuda":
        torch.cuda.synchronize()
    return 2 * size**3 * passes / (time.perf_counter() - started)


def operations(network: nn.Module, x: Tensor) -> int:
    """Floating-point operations of one forward pass over one image."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counted, torch.no_grad():
        network(x[None])
    return int(counted.get_total_flops())
