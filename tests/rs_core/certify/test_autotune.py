"""How a network is run is found once, by measuring; what is found changes no count."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from radii.rs_core.certify import autotune, engine
from radii.rs_core.certify.autotune import RunConfiguration, configuration_for, measured, remembered, tune
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.models import registry
from radii.rs_core.records import Certificate


class Machine:
    """Made-up rates by (batch size, compiled), and what was asked of it."""

    def __init__(self, rates: dict[tuple[int, bool], float], compiler: bool = True) -> None:
        self.rates, self.compiler = rates, compiler
        self.asked: list[tuple[int, bool]] = []

    def __call__(self, batch_size: int, compiled: bool, seconds: float) -> tuple[float, bool]:
        self.asked.append((batch_size, compiled))
        return self.rates[batch_size, compiled and self.compiler], compiled and self.compiler


RATES = {(100, False): 100.0, (200, False): 150.0, (400, False): 90.0} | {
    (100, True): 300.0,
    (200, True): 250.0,
    (400, True): 320.0,
    (800, True): 310.0,
}


def test_short_work_tries_nothing() -> None:
    machine = Machine(RATES)
    assert tune(machine, samples=2_000, device="cpu") == RunConfiguration(batch_size=100, rate=100.0)
    assert machine.asked == [(100, False)]


def test_longer_work_finds_its_batch_and_compiles_nothing() -> None:
    machine = Machine(RATES)
    assert tune(machine, samples=10_000, device="cpu") == RunConfiguration(batch_size=200, rate=150.0, tried="batches")
    assert not any(compiled for _, compiled in machine.asked)


def test_long_work_compiles_where_that_is_faster() -> None:
    found = tune(Machine(RATES), samples=10**6, device="cpu")
    assert found == RunConfiguration(batch_size=400, compiled=True, rate=320.0, tried="compiling")
    slower = Machine(RATES | {(size, True): 50.0 for size in (100, 200, 400, 800)})
    assert tune(slower, samples=10**6, device="cpu") == RunConfiguration(batch_size=200, rate=150.0, tried="compiling")
    assert sum(compiled for _, compiled in slower.asked) == 1, "once clearly slower, no further size is compiled"


class Uneven(Machine):
    """A machine that is slow for a while: what it is asked then takes three times as long."""

    def __init__(self, rates: dict[tuple[int, bool], float], slow: range) -> None:
        super().__init__(rates)
        self.slow = slow

    def __call__(self, batch_size: int, compiled: bool, seconds: float) -> tuple[float, bool]:
        rate, done = super().__call__(batch_size, compiled, seconds)
        return (rate / 3 if len(self.asked) in self.slow else rate), done


def test_those_that_are_close_are_measured_in_turns_and_their_medians_decide() -> None:
    rates = {(100, False): 95.0, (200, False): 100.0, (400, False): 98.0, (800, False): 20.0}
    quick_then_slow = Uneven(rates, slow=range(7, 10))
    found = tune(quick_then_slow, samples=10_000, device="cpu", may_compile=False)
    assert found == RunConfiguration(batch_size=200, rate=100.0, tried="batches")
    turns = quick_then_slow.asked[5:]
    assert turns == [(100, False), (200, False), (400, False)] * autotune.ROUNDS


def test_where_nothing_can_be_compiled_that_is_tried_once() -> None:
    machine = Machine(RATES, compiler=False)
    assert tune(machine, samples=10**6, device="cpu") == RunConfiguration(batch_size=200, rate=150.0, tried="compiling")
    assert sum(compiled for _, compiled in machine.asked) == 1
    assert not tune(Machine(RATES), samples=10**6, device="cpu", may_compile=False).compiled


def test_a_batch_that_was_asked_for_is_kept() -> None:
    found = tune(Machine(RATES), samples=10**6, device="cpu", batch_size=250)
    assert found == RunConfiguration(batch_size=200, compiled=True, rate=250.0, tried="compiling")


def test_a_card_is_tried_with_larger_batches_and_one_that_does_not_fit_ends_the_search() -> None:
    machine = Machine({(500, False): 1e4, (1_000, False): 2e4, (2_000, False): 0.0})
    found = tune(machine, samples=10**6, device="cuda", may_compile=False)
    assert found == RunConfiguration(batch_size=1_000, rate=2e4, tried="batches")
    assert machine.asked[-1] == (2_000, False)


def test_where_not_even_the_smallest_batch_fits_smaller_ones_are_tried() -> None:
    machine = Machine({(500, False): 0.0, (200, False): 0.0, (100, False): 30.0, (100, True): 0.0})
    assert tune(machine, samples=10**6, device="cuda") == RunConfiguration(batch_size=100, rate=30.0, tried="compiling")
    assert [size for size, _ in machine.asked] == [500, 200, 100, 100, 100]
    nothing = Machine({(size, False): 0.0 for size in (500, 200, 100, 50, 25, 10, 5, 2, 1)})
    assert tune(nothing, samples=10**6, device="cuda").batch_size == 1, "the job will say that memory is full"


def test_memory_that_another_took_meanwhile_leaves_what_was_found_first() -> None:
    asked: list[int] = []

    def shrinking(batch_size: int, compiled: bool, seconds: float) -> tuple[float, bool]:
        asked.append(batch_size)
        return (20.0 if len(asked) == 1 else 0.0), compiled

    assert tune(shrinking, samples=10**6, device="cuda", may_compile=False).batch_size == 500


def _measured_again() -> RunConfiguration:
    return pytest.fail("measured again")


def test_what_was_found_is_found_again_without_measuring(tmp_path: Path) -> None:
    file = tmp_path / "data" / "tuning.json"
    found = RunConfiguration(batch_size=200, compiled=True, rate=5.0, tried="compiling")
    assert remembered(file, "a", 10**6, lambda: found) == found
    assert remembered(file, "a", 10**6, _measured_again) == found
    other = RunConfiguration(batch_size=400, rate=7.0, tried="compiling")
    assert remembered(file, "b", 10**6, lambda: other) == other
    assert remembered(file, "a", 10**6, _measured_again) == found


def test_what_was_found_for_other_amounts_of_work_is_not_taken(tmp_path: Path) -> None:
    """Longer work may try more; short work is not worth the start of a compiled network."""
    file, batches = tmp_path / "tuning.json", RunConfiguration(batch_size=200, rate=10.0, tried="batches")
    compiled = RunConfiguration(batch_size=400, compiled=True, rate=20.0, tried="compiling")
    assert remembered(file, "a", 1_000, lambda: batches) == batches
    assert remembered(file, "a", 1_000, _measured_again) == batches
    assert remembered(file, "a", 10**6, lambda: compiled) == compiled
    assert remembered(file, "a", 100, RunConfiguration) == RunConfiguration()
    assert remembered(file, "a", 10**6, _measured_again) == compiled


def test_a_broken_file_is_begun_anew_and_one_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    file, long = tmp_path / "tuning.json", RunConfiguration(batch_size=200, rate=1.0, tried="compiling")
    file.write_text("{")
    assert remembered(file, "a", 10**6, lambda: long) == long
    assert remembered(file, "a", 10**6, _measured_again) == long
    assert remembered(file / "below", "a", 10**6, lambda: long) == long


def _network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return registry.build("lenet", num_classes=10, input_shape=(1, 28, 28)).eval()


def test_a_real_network_is_measured(tmp_path: Path) -> None:
    configuration = configuration_for(_network(), torch.rand(1, 28, 28), 10, name="lenet", precision="fp32", samples=1)
    assert configuration.rate > 0
    assert (configuration.batch_size, configuration.compiled) == (100, False)


def test_a_batch_that_memory_does_not_hold_has_rate_0(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(autotune, "_rate", full)
    assert measured(_network(), torch.rand(1, 28, 28), 10, precision="fp32")(1_000, False, 0.0) == (0.0, False)


NEEDS_A_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++, which compiling needs")


@NEEDS_A_COMPILER
def test_a_compiled_network_gives_the_same_votes(tmp_path: Path) -> None:
    images = [(index, torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(index)), 0) for index in range(3)]
    found: dict[bool, list[Certificate]] = {}
    for compiled in (False, True):
        sampler = Sampler(_network(), 0.25, 10, batch_size=200, compiled=compiled)
        records = engine.certify(sampler, images, Procedure(sigma=0.25, n=1_000))
        found[compiled] = [record for record in records if isinstance(record, Certificate)]
        assert sampler.compiled is compiled
    differing = sum(
        abs(a - b) // 2
        for one, other in zip(found[False], found[True], strict=True)
        for a, b in zip(one.counts, other.counts, strict=True)
    )
    assert differing <= 1, "but for ties in the last bits"


def test_where_nothing_can_be_compiled_the_network_runs_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Callable[..., object]:
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", broken)
    sampler = Sampler(_network(), 0.25, 10, compiled=True)
    records = list(engine.certify(sampler, [(0, torch.rand(1, 28, 28), 0)], Procedure(sigma=0.25, n=100)))
    assert isinstance(records[-1], Certificate)
    assert not sampler.compiled
