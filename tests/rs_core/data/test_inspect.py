"""The format is told from the content, and nothing of it needs torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from radii.rs_core.data.inspect import FORMATS, detect, inspect
from radii.rs_core.data.load import READERS
from radii.rs_core.errors import InvalidDataset


def npz(path: Path) -> Path:
    with path.open("wb") as file:
        np.savez(file, images=np.zeros((2, 4, 4), np.uint8), labels=np.array([0, 1]))
    return path


def sentence(paths: list[Path]) -> str:
    with pytest.raises(InvalidDataset) as caught:
        inspect(paths)
    return str(caught.value).removeprefix("The data set cannot be read")


def test_file_names_do_not_matter(tmp_path: Path) -> None:
    assert detect([npz(tmp_path / "9f86d081884c7d65")]) == "npz"


def test_what_can_be_inspected_can_be_read() -> None:
    assert set(FORMATS) == {*READERS, "safetensors"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b"",
            "expected an .npz file, a pair of idx files, CIFAR .bin files or their .tar.gz, a zip of class folders, or "
            "the .npy files of CIFAR-10-C, got 0 bytes that start with b''.",
        ),
        (b"hello world", "got 11 bytes that start with b'hell'."),
        (b"\x1f\x8b\x08\x00broken", "got 10 bytes that start with b'' when unpacked."),
        (b"\x80\x04\x95", "got a pickle, as in the python version."),
    ],
)
def test_an_unknown_format_is_answered_with_the_known_ones(tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "x").write_bytes(data)
    found = sentence([tmp_path / "x"])
    assert found.startswith(" (x): expected ")
    assert found.endswith(expected)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    assert sentence([]) == ": expected at least one file, got none."
    assert sentence([tmp_path / "no.npz"]) == f" ({tmp_path}/no.npz): expected a file, got nothing there."
    assert sentence([tmp_path]) == f" ({tmp_path}): expected a file, got a folder."


def test_files_of_two_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.bin").write_bytes(bytes(3073))
    found = sentence([npz(tmp_path / "a.npz"), tmp_path / "b.bin"])
    assert found == ": expected files of one format, got a.npz (npz), b.bin (cifar10)."


def test_inspection_runs_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from radii.rs_core.data.inspect import inspect; "
        f"inspect([Path({str(npz(tmp_path / 'a.npz'))!r})]); assert not {{'torch', 'safetensors'}} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
