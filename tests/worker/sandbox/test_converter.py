"""The converter: a hostile file ends in a sentence, never in the caller. What code inside could reach is in ``isolation``."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests_support.hostile import archives

from radii.rs_core.data.dataset_file import open_dataset
from radii.rs_core.errors import InvalidCheckpoint, InvalidDataset, RadiiError
from radii.worker.isolation.confine import NotConfined
from radii.worker.sandbox import converter

MEMORY = 16 * 2**30
TALKATIVE = """
import atexit, os, subprocess
from torch import nn

print("imported")
subprocess.run(["echo", "a process of its own"])
atexit.register(print, "over")


def net(num_classes, input_shape):
    os.write(1, b'{"columns": {}}')
    print("built", flush=True)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, num_classes))
"""


def _convert(tmp_path: Path, files: dict[str, Path], **more: Any) -> dict[str, Any]:
    limits = {"seconds": more.pop("seconds", 60.0), "memory": more.pop("memory", MEMORY)}
    named = {name: str(path) for name, path in files.items()}
    return converter.convert({"what": "dataset", "files": named, "out": str(tmp_path / "out")} | more, **limits)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "0123abcd"
    with path.open("wb") as file:
        np.savez(file, images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 1, 1, 0]))
    return path


def test_a_good_file_is_converted_and_described(tmp_path: Path, npz: Path) -> None:
    answer = _convert(tmp_path, {"mine.npz": npz})
    assert {name: answer["columns"][name] for name in ("count", "shape", "num_classes")} == {
        "count": 4,
        "shape": [1, 8, 8],
        "num_classes": 2,
    }
    assert len(open_dataset(tmp_path / "out")) == 4


def test_an_error_speaks_of_the_file_by_its_owners_name(tmp_path: Path, npz: Path) -> None:
    npz.write_bytes(npz.read_bytes()[:100])
    with pytest.raises(InvalidDataset, match=r"mine\.npz"):
        _convert(tmp_path, {"mine.npz": npz})


def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path, npz: Path) -> None:
    assert _convert(tmp_path, {"../../evil.npz": npz})["columns"]["count"] == 4


def test_a_pickle_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "model.pt"
    code = f"import torch; torch.save(type('E', (), {{'__reduce__': lambda s: (open, ({str(victim)!r}, 'w'))}})(), {str(path)!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(InvalidCheckpoint, match="expected a state dict"):
        _convert(tmp_path, {"model.pt": path}, what="checkpoint")
    assert not victim.exists()


def test_what_a_registered_module_prints_is_not_taken_for_the_answer(tmp_path: Path) -> None:
    (tmp_path / "talkative_nets.py").write_text(TALKATIVE)
    file = tmp_path / "architectures.toml"
    file.write_text(
        '[talkative]\nbuilder = "talkative_nets:net"\ninput_shape = [1, 2, 2]\nhead = "1"\ndescription = "one layer"\n'
    )
    save_file({"1.weight": torch.zeros(3, 4), "1.bias": torch.zeros(3)}, tmp_path / "bare")
    answer = _convert(
        tmp_path,
        {"mine.safetensors": tmp_path / "bare"},
        what="checkpoint",
        architecture="talkative",
        architectures=str(file),
    )
    assert (answer["columns"]["architecture"], answer["columns"]["num_classes"]) == ("talkative", 3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_not_held_against_the_file(tmp_path: Path, npz: Path) -> None:
    with pytest.raises(OSError, match="No space left on device") as raised:
        _convert(tmp_path, {"mine.npz": npz}, out="/dev/full")
    assert raised.value.errno == errno.ENOSPC


def test_time_is_limited(tmp_path: Path, npz: Path) -> None:
    with pytest.raises(InvalidDataset, match=r"within 0 s, got one that takes longer"):
        _convert(tmp_path, {"mine.npz": npz}, seconds=0.05)


def test_a_conversion_that_nobody_waits_for_any_more_is_ended(
    tmp_path: Path, npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converter, "STEP", 0.01)  # in which no interpreter starts
    request = {"what": "dataset", "files": {"mine.npz": str(npz)}, "out": str(tmp_path / "out")}
    steps = converter.steps(request, seconds=60.0, memory=MEMORY)
    assert next(steps) == 0
    steps.close()  # type: ignore[attr-defined]
    assert not (tmp_path / "out").exists()


def test_memory_is_limited_and_the_end_of_the_converter_is_logged(
    tmp_path: Path, npz: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidDataset, match="within its limits, got one that"):
        _convert(tmp_path, {"mine.npz": npz}, memory=50 * 2**20)
    (record,) = (record for record in caplog.records if record.name == "radii.converter")
    assert record.message == "the converter ended with code 1"
    assert "MemoryError" in record.stderr  # type: ignore[attr-defined]


def test_the_traceback_of_a_reader_that_failed_is_logged(
    tmp_path: Path, npz: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its user gets a sentence about the file; the developer of the reader needs more."""
    code = (
        "from radii.worker.sandbox import converter\ndef fail(request): raise KeyError('beyond the last chunk')\n"
        "converter._dataset = fail\nconverter.main()"
    )
    monkeypatch.setattr(converter.launch, "command", lambda *_: [sys.executable, "-P", "-c", code])
    with pytest.raises(InvalidDataset, match="expected a file that its reader understands"):
        _convert(tmp_path, {"mine.npz": npz})
    (record,) = (record for record in caplog.records if record.name == "radii.converter")
    assert record.message == "a reader of files failed"
    assert "in fail" in record.stderr and "KeyError: 'beyond the last chunk'" in record.stderr  # type: ignore[attr-defined]


def test_inside_there_are_no_credentials(tmp_path: Path, npz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADII_DATABASE_URL", "secret")
    seen: dict[str, Any] = {}
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kwargs: seen.update(kwargs) or start(*args, **kwargs))
    _convert(tmp_path, {"mine.npz": npz})
    monkeypatch.undo()
    harmless = {"PATH", "LANG", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MPLCONFIGDIR", "NUMBA_CACHE_DIR"}
    assert set(seen["env"]) <= harmless


FLOOD = """
import os, sys
import radii.worker.sandbox.converter as sandbox
def flood(request):
    piece = b"x" * 2**20
    for _ in range(200):
        os.write({descriptor}, piece)
sandbox._dataset = flood
sandbox._apart = lambda: os.fdopen(os.dup(1), "w")
sandbox.main()
"""


@pytest.mark.parametrize("descriptor", [1, 2])
def test_what_the_converter_says_takes_a_bounded_part_of_its_callers_memory(
    tmp_path: Path, npz: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, kept = subprocess.Popen, []
    code = FLOOD.format(descriptor=descriptor)
    monkeypatch.setattr(
        converter.subprocess, "Popen", lambda command, **how: start([sys.executable, "-c", code], **how)
    )
    exchange = converter.ProcessExchange
    monkeypatch.setattr(converter, "ProcessExchange", lambda *given: kept.append(exchange(*given)) or kept[-1])
    with pytest.raises(InvalidDataset, match="within its limits, got one that ended it"):
        _convert(tmp_path, {"mine.npz": npz})
    assert len(kept[0].answer) <= 65 * 2**20 and len(kept[0].errors) <= 2**16


def test_two_files_of_one_name_and_a_name_that_no_file_can_have_are_read(tmp_path: Path, npz: Path) -> None:
    assert _convert(tmp_path, {"x" * 300 + ".npz": npz})["columns"]["count"] == 4
    links = converter._named(
        tmp_path, {"a/same.npz": str(npz), "b/same.npz": str(npz), "n\0ul": str(npz), "/": str(npz)}
    )
    assert len(set(links.values())) == 4
    assert all(Path(link).read_bytes() == npz.read_bytes() for link in links.values())


def test_a_name_that_means_a_folder_is_no_name_of_a_link(tmp_path: Path, npz: Path) -> None:
    links = converter._named(tmp_path, {"..": str(npz), "a/..": str(npz), ".": str(npz)})
    assert all(Path(link).read_bytes() == npz.read_bytes() for link in links.values())


def test_an_output_is_no_larger_than_what_the_files_can_become(tmp_path: Path, npz: Path) -> None:
    request = {"files": {"x": str(npz)}, "out": "out", "memory": 2**30, "seconds": 1.0, "uid": 1}
    allowed = {
        what: converter._confinement(request | {"what": what, "max_dataset": 2**30}).limits.output
        for what in ("dataset", "checkpoint")
    }
    assert 2**30 < allowed["dataset"] < 1.25 * 2**30
    assert allowed["checkpoint"] < 2**27


@pytest.mark.parametrize("kind", [InvalidDataset, InvalidCheckpoint])
def test_another_file_in_the_outputs_place_is_an_error_of_the_kind_that_is_converted(
    tmp_path: Path, kind: type[RadiiError]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(kind, match="got another one"), converter._output(out, kind):
        (tmp_path / "other").touch()
        (tmp_path / "other").replace(out)


def test_the_end_at_a_limit_on_processor_time_is_said_in_words() -> None:
    assert converter._how(-signal.SIGXCPU, b"") == "one that needs more processor time than it is given"


THREADED = """
import threading, time
from torch import nn
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
def net(num_classes, input_shape):
    return nn.Linear(4, num_classes)
"""


def test_a_registered_module_that_starts_a_thread_is_named_and_the_file_is_not_blamed(tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(THREADED)
    file = tmp_path / "architectures.toml"
    file.write_text(
        '[threaded]\nbuilder = "threaded:net"\ninput_shape = [1, 2, 2]\nhead = ""\ndescription = "one layer"\n'
    )
    save_file({"weight": torch.zeros(3, 4)}, tmp_path / "bare")
    with pytest.raises(NotConfined, match=r"expected modules that start no threads .* one thread, got 2"):
        _convert(tmp_path, {"m.safetensors": tmp_path / "bare"}, what="checkpoint", architectures=str(file))


@pytest.mark.parametrize(
    ("pieces", "count"), [([b"[]\n", b"5\n"], 5), ([b"[]\n", b"-7\n"], 0), ([b"[", b"]\n12\n13\n"], 13)]
)
def test_counts_come_after_the_report_and_are_never_negative(pieces: list[bytes], count: int) -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdin=-1, stdout=-1, stderr=-1) as process:
        reader, writer = os.pipe()
        exchange = converter.ProcessExchange(process, b"", reader)
        for piece in pieces:
            exchange._progressed(piece)
        os.close(writer)
        assert (exchange.report, exchange.count) == (b"[]\n", count)
        exchange.close()


def test_a_conversion_that_fails_leaves_no_file_and_one_that_was_there_stays(tmp_path: Path, npz: Path) -> None:
    npz.write_bytes(b"nothing that is known")
    with pytest.raises(InvalidDataset):
        _convert(tmp_path, {"mine.npz": npz})
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").write_bytes(b"older")
    with pytest.raises(InvalidDataset):
        _convert(tmp_path, {"mine.npz": npz})
    assert (tmp_path / "out").exists()


def test_an_error_that_a_reader_does_not_expect_is_a_sentence_about_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one of a library, about bytes that its authors did not think of."""
    for error in (KeyError("x"), OSError(22, "Invalid argument"), RecursionError("maximum recursion depth exceeded")):
        found = converter._not_understood({"what": "dataset"}, error)["problem"]
        assert found["type"] == "urn:radii:problem:invalid-dataset"
        assert type(error).__name__ in found["got"]
    path = tmp_path / "far.zip"
    path.write_bytes(archives.LYING["has a directory behind its end"]())
    request = {"what": "dataset", "files": {"far.zip": str(path)}, "out": str(tmp_path / "out"), "max_dataset": 2**30}
    with pytest.raises(InvalidDataset) as caught:
        converter.convert(request, seconds=60, memory=8 * 2**30)
    assert "return code" not in str(caught.value)
