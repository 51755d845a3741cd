"""Where a batch does not fit into memory, it is halved: the votes are those of whole batches, and each certificate tells."""

import pytest
import torch
from torch import Tensor, nn

from radii.rs_core.certify import engine
from radii.rs_core.certify.engine import Input, Progress
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.errors import InputOutOfMemory, NetworkFailed
from radii.rs_core.records import Certificate

POISON = 9.0


class Small(nn.Module):
    """A linear classifier on a device that holds at most ``most`` images, and of a poisonous one not even a copy."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.weights = nn.Parameter(torch.randn(48, 3, generator=torch.Generator().manual_seed(1)))

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most or float(x.max()) > POISON / 2 + 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return x.flatten(1) @ self.weights


def _inputs(count: int) -> list[Input]:
    stream = torch.Generator().manual_seed(2)
    return [(index, torch.rand(3, 4, 4, generator=stream), 0) for index in range(count)]


def _certified(most: int, batch_size: int = 400, count: int = 5) -> list[Certificate]:
    sampler = Sampler(Small(most), 0.5, 3, batch_size=batch_size)
    records = engine.certify(sampler, _inputs(count), Procedure(sigma=0.5, n0=100, n=2_000))
    return sorted((r for r in records if isinstance(r, Certificate)), key=lambda r: r.index)


@pytest.mark.parametrize(("most", "forced"), [(399, 200), (100, 100), (99, 50), (7, 6), (1, 1)])
@pytest.mark.parametrize("batch_size", [400])
def test_smaller_batches_give_the_same_votes_and_the_certificates_say_so(
    most: int, forced: int, batch_size: int
) -> None:
    whole, halved = _certified(10_000, batch_size), _certified(most, batch_size)
    assert [c.counts for c in halved] == [c.counts for c in whole]
    assert [c.counts0 for c in halved] == [c.counts0 for c in whole]
    assert {c.batch_size for c in whole} == {None}
    assert {c.batch_size for c in halved} == {forced}


def test_inputs_that_were_finished_before_are_not_touched() -> None:
    network = Small(10_000)
    sampler = Sampler(network, 0.5, 3, batch_size=100)
    records = engine.certify(sampler, _inputs(4), Procedure(sigma=0.5, n0=100, n=1_000))
    sizes = []
    for record in records:
        if isinstance(record, Certificate):
            sizes.append(record.batch_size)
            network.most = 60 if len(sizes) >= 2 else 10_000
    assert sizes == [None, None, 50, 50]


def test_an_input_that_was_cut_keeps_saying_that_its_batches_were_smaller() -> None:
    procedure = Procedure(sigma=0.5, n0=100, n=5_000)
    records = engine.certify(Sampler(Small(60), 0.5, 3, batch_size=100), _inputs(1), procedure)
    kept = None
    for _, record in zip(range(3), records, strict=False):
        kept = record if isinstance(record, Progress) and record.drawn else kept
    begun = Progress.of({**(kept.body() if kept else {"index": 0, "votes": {}, "seconds": 0.0}), "batch_size": 50})
    (last,) = [
        record
        for record in engine.certify(
            Sampler(Small(10_000), 0.5, 3, batch_size=100), _inputs(1), procedure, resume=[begun]
        )
        if isinstance(record, Certificate)
    ]
    assert last.batch_size == 50


def test_one_input_that_never_fits_is_told_apart_from_a_network_that_does_not() -> None:
    inputs = _inputs(3)
    poisonous = [*inputs[:2], (2, torch.full((3, 4, 4), POISON), 0)]
    procedure = Procedure(sigma=0.5, n0=100, n=500)
    with pytest.raises(InputOutOfMemory, match="one at a time"):
        list(engine.certify(Sampler(Small(400), 0.5, 3, batch_size=400), poisonous, procedure))
    with pytest.raises(torch.OutOfMemoryError):
        list(engine.certify(Sampler(Small(0), 0.5, 3, batch_size=400), inputs, procedure))


def test_any_other_error_of_the_network_is_named_and_kept_as_the_cause() -> None:
    class Broken(Small):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("broken")

    with pytest.raises(NetworkFailed, match="got RuntimeError: broken") as caught:
        list(engine.certify(Sampler(Broken(1), 0.5, 3), _inputs(1), Procedure(sigma=0.5, n0=100, n=500)))
    assert isinstance(caught.value.__cause__, RuntimeError)
