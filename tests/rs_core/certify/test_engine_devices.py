"""The engine on a GPU: the same procedures, on streams of that device."""

import math

import pytest
import torch
from torch import nn

from radii.rs_core.certify import engine
from radii.rs_core.certify.engine import Input
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.models import registry
from radii.rs_core.records import Certificate
from radii.rs_core.specs.fields import Noise, Precision, Sampling

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def _network(device: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return registry.build("lenet", num_classes=10, input_shape=(1, 28, 28)).eval().to(device)


def _inputs() -> list[Input]:
    images = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    return [(index, (image * 255).round() / 255, 0) for index, image in enumerate(images)]


def _rows(device: str, procedure: Procedure, **more: object) -> list[Certificate]:
    sampler = Sampler(_network(device), 0.25, 10, **more)  # type: ignore[arg-type]
    records = engine.certify(sampler, _inputs(), procedure)
    return sorted((row for row in records if isinstance(row, Certificate)), key=lambda row: row.index)


@pytest.mark.parametrize("sampling", ["fixed", "pilot", "at_radii", "anytime"])
@pytest.mark.parametrize("noise", ["gaussian", "discrete"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_counts_depend_on_no_batch(sampling: Sampling, noise: Noise, precision: Precision) -> None:
    radii = (0.1, 0.3) if sampling == "at_radii" else ()
    procedure = Procedure(sigma=0.25, n=5_000, sampling=sampling, radii=radii)
    small, large = (
        [
            (row.counts0, row.counts)
            for row in _rows("cuda", procedure, batch_size=size, noise=noise, precision=precision)
        ]
        for size in (1_000, 4_000)
    )
    assert small == large


def test_probabilities_are_those_of_the_cpu() -> None:
    """Streams differ, votes agree in distribution: each class of each input within 6 standard errors, false alarm 2e-8 for
    each of 60; the seeds are fixed."""
    procedure = Procedure(sigma=0.25, n=20_000)
    for one, other in zip(_rows("cuda", procedure, batch_size=2_000), _rows("cpu", procedure), strict=True):
        for a, b in zip(one.counts, other.counts, strict=True):
            share = (a + b) / 40_000
            assert abs(a - b) <= 6 * math.sqrt(2 * 20_000 * share * (1 - share)) + 1


def test_a_compiled_network_gives_the_same_votes() -> None:
    procedure = Procedure(sigma=0.25, n=5_000)
    plain, compiled = (
        _rows("cuda", procedure, batch_size=1_000, compiled=configuration) for configuration in (False, True)
    )
    differing = sum(
        abs(a - b)
        for one, other in zip(plain, compiled, strict=True)
        for a, b in zip(one.counts, other.counts, strict=True)
    )
    assert differing <= 12, "but for ties in the last bits"
