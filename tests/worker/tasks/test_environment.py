"""Which device a child works on, where the machine has none, one or several; the table of devices is faked."""

from pathlib import Path

import pytest
import torch

from radii.rs_core.errors import InvalidSpec
from radii.worker.tasks import environment
from radii.worker.tasks.environment import MemoryGauge, compiler, provenance, resolve_device, share_memory


def _cards(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[torch.device(device).index or 0])


def test_auto_is_the_first_card_and_without_one_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _cards(monkeypatch)
    assert resolve_device("auto") == torch.device("cpu")
    _cards(monkeypatch, "NVIDIA A", "NVIDIA B")
    assert resolve_device("auto") == torch.device("cuda:0")


def test_the_workers_of_a_machine_take_its_cards_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    _cards(monkeypatch, "NVIDIA A", "NVIDIA B")
    taken = [str(resolve_device("auto", worker_number=number)) for number in range(5)]
    assert taken == ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]
    assert resolve_device("cuda:0", worker_number=1) == torch.device("cuda:0"), "a device that was named is that one"
    _cards(monkeypatch)
    assert resolve_device("auto", worker_number=1) == torch.device("cpu")


@pytest.mark.parametrize(
    ("cards", "workers", "share", "part"),
    [
        (1, 1, None, None),
        (1, 3, None, 1 / 3),
        (2, 3, None, 1 / 2),
        (2, 2, None, None),
        (1, 1, 0.4, 0.4),
        (1, 4, 1.0, None),
    ],
)
def test_workers_of_one_card_leave_each_other_their_part_of_its_memory(
    monkeypatch: pytest.MonkeyPatch, cards: int, workers: int, share: float | None, part: float | None
) -> None:
    kept: list[float] = []
    _cards(monkeypatch, *["NVIDIA A"] * cards)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda fraction, device: kept.append(fraction))
    assert share_memory(torch.device("cuda:0"), workers=workers, share=share) == part
    assert kept == ([] if part is None else [part])
    assert share_memory(torch.device("cpu"), workers=workers, share=share) is None


def test_a_gpu_that_is_named_is_shared_by_all_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda part, device: told.append(part))
    share_memory(torch.device("cuda:1"), workers=4, share=None, in_turn=True)
    share_memory(torch.device("cuda:1"), workers=4, share=None, in_turn=False)
    assert told == [0.5, 0.25]


def test_the_memory_of_a_process_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    gauge = MemoryGauge(torch.device("cpu"), interval=60.0)
    first = gauge.due()
    assert first is not None and first.keys() == {"resident"} and first["resident"] > 2**20
    assert gauge.due() is None
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, 9))
    card = MemoryGauge(torch.device("cuda:0"), interval=0.0).due()
    assert card is not None and (card["device"], card["device_total"]) == (5, 9)


def test_a_card_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    _cards(monkeypatch, "NVIDIA A", "NVIDIA B")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert resolve_device("cuda") == torch.device("cuda")
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("cards", "wanted", "words"),
    [
        ((), "cuda", "expected one of 0 CUDA devices, got cuda"),
        (("NVIDIA A",), "cuda:1", "expected one of 1 CUDA devices, got cuda:1"),
        (("NVIDIA A",), "tpu", "expected auto, cpu, cuda or cuda:N, got 'tpu'"),
        (("NVIDIA A",), "meta", "expected auto, cpu, cuda or cuda:N, got 'meta'"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, cards: tuple[str, ...], wanted: str, words: str
) -> None:
    _cards(monkeypatch, *cards)
    with pytest.raises(InvalidSpec) as caught:
        resolve_device(wanted)
    assert words in str(caught.value)


def test_provenance_names_the_card_or_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    _cards(monkeypatch, "NVIDIA A")
    on_card, on_cpu = provenance(torch.device("cuda:0")), provenance(torch.device("cpu"))
    assert (on_card["device"], on_card["device_type"]) == ("NVIDIA A", "cuda")
    assert (on_cpu["device"], on_cpu["device_type"]) == (environment.cpu_name(), "cpu")
    assert set(on_cpu["versions"]) == {"radii", *environment.PACKAGES, "python", "compiler"}


def test_provenance_tells_machines_apart_that_cannot_compile_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a compiled network rounds differs in its last bits from the same network run as it is."""

    def found() -> str | None:
        compiler.cache_clear()
        return compiler()

    script = tmp_path / "c++-like"
    script.write_text("#!/bin/sh\necho 12.2.0\n")
    script.chmod(0o755)
    try:
        monkeypatch.setenv("CXX", str(script))
        assert found() == "c++-like 12.2.0"
        script.write_text("#!/bin/sh\nexit 1\n")
        assert found() is None
        monkeypatch.setenv("CXX", str(tmp_path / "none"))
        assert found() is None
    finally:
        compiler.cache_clear()


def test_no_reduced_precision_comes_in_behind_a_jobs_back() -> None:
    threads = torch.get_num_threads()
    environment.configure({"threads": 1})
    try:
        assert torch.get_num_threads() == 1
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
    finally:
        torch.set_num_threads(threads)
