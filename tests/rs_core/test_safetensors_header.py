"""The header of a safetensors file: it agrees with the package, and every lie in it is refused with its sentence."""

import errno
import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from radii.rs_core.errors import InvalidCheckpoint, InvalidDataset
from radii.rs_core.safetensors_header import is_tensorfile, metadata, read_header, writing

A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.arange(4, dtype=np.int64)


def written(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_names_types_shapes_and_places_are_those_of_the_package(tmp_path: Path) -> None:
    save_file({"a": A, "b": B, "empty": A[:0]}, tmp_path / "x", metadata=metadata({"n": 1}))
    header = read_header(tmp_path / "x", InvalidDataset)
    data = (tmp_path / "x").read_bytes()
    found = {name: (entry.dtype, entry.shape) for name, entry in header.tensors.items()}
    assert found == {"a": ("F32", (2, 3)), "b": ("I64", (4,)), "empty": ("F32", (0, 3))}
    assert data[header.tensors["a"].start : header.tensors["a"].end] == A.tobytes()
    assert data[header.tensors["b"].start : header.tensors["b"].end] == B.tobytes()
    assert header.ours() == {"n": 1}


def test_files_of_others_have_nothing_of_ours(tmp_path: Path) -> None:
    save_file({"a": A}, tmp_path / "x", metadata={"format": "pt"})
    assert read_header(tmp_path / "x", InvalidDataset).ours() is None
    save_file({"a": A}, tmp_path / "x", metadata={"radii": "[1"})
    assert read_header(tmp_path / "x", InvalidDataset).ours() is None


def test_the_order_in_the_metadata_does_not_change_the_text() -> None:
    assert metadata({"a": 1, "b": 2}) == metadata({"b": 2, "a": 1})


def test_a_safetensors_file_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    assert is_tensorfile(written(tmp_path / "x", {}))
    for data in (b"", b"PK\x03\x04", b"\xff" * 8 + b"{", bytes(8) + b"["):
        (tmp_path / "x").write_bytes(data)
        assert not is_tensorfile(tmp_path / "x")


ROW = "expected for each tensor a type, a shape and as many bytes as they need, got "


@pytest.mark.parametrize(
    ("header", "data", "expected"),
    [
        ({"a": entry()}, bytes(7), "expected 8 bytes of tensors, as the header says, got 7, so the file is cut short."),
        ({"a": entry()}, bytes(9), "expected 8 bytes of tensors, as the header says, got 9, so the file is too long."),
        ({"a": entry(offsets=(4, 12))}, bytes(12), "expected tensors side by side, got one that starts at byte 74."),
        ({"a": entry(), "b": entry()}, bytes(8), "expected tensors side by side, got one that starts at byte "),
        ({"a": entry(offsets=(0, 4))}, bytes(4), ROW + "'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 4]}."),
        ({"a": entry(dtype="F7")}, bytes(8), ROW + "'a': {'dtype': 'F7', 'shape': [2], 'data_offsets': [0, 8]}."),
        ({"a": entry(dtype=["F32"])}, bytes(8), ROW),
        ({"a": entry(shape=(-1, -2))}, bytes(8), ROW),
        ({"a": entry(shape=(2.0,))}, bytes(8), ROW),
        ({"a": entry(shape="22")}, bytes(8), ROW),
        ({"a": entry(offsets=(0, 8, 8))}, bytes(8), ROW),
        ({"a": 3}, b"", ROW + "'a': 3."),
        ({"__metadata__": {"a": 1}}, b"", "expected metadata of texts, got {'a': 1}."),
        (b"[1, 2]", b"", "expected a safetensors file, its header a JSON object, got b'[1, 2]'."),
        (b'{"a": ', b"", "expected a safetensors file, its header a JSON object, got b'{\"a\": '."),
        (b'{"a":' * 100_000, b"", 'expected a safetensors file, its header a JSON object, got b\'{"a":{'),
        (b"\xff\xfe", b"", "expected a safetensors file, its header a JSON object, got b'\\xff\\xfe'."),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, header: Any, data: bytes, expected: str) -> None:
    with pytest.raises(InvalidCheckpoint) as caught:
        read_header(written(tmp_path / "x", header, data), InvalidCheckpoint)
    assert str(caught.value).startswith("The checkpoint cannot be read (x): " + expected)


@pytest.mark.parametrize("data", [b"", b"1234567", (9).to_bytes(8, "little") + b"{}", b"\xff" * 8 + b"{}"])
def test_a_header_beyond_the_file_is_refused_before_it_is_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(InvalidDataset) as caught:
        read_header(tmp_path / "x", InvalidDataset)
    assert "expected a safetensors file whose header lies inside the file, got " in str(caught.value)


def test_a_header_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radii.rs_core.safetensors_header.MAX_HEADER", 100)
    with pytest.raises(InvalidDataset, match="got 209 bytes that announce a header of 201"):
        read_header(written(tmp_path / "x", b'{"a":1' + b" " * 195), InvalidDataset)


def test_where_the_system_refuses_to_write_it_is_a_system_error_and_no_file_stays(tmp_path: Path) -> None:
    path, limits = tmp_path / "large", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised, writing(path):
            save_file({"zeros": np.zeros(10_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_where_it_could_not_be_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"before")
    with pytest.raises(KeyError), writing(path):
        raise KeyError("before anything was written")
    assert path.read_bytes() == b"before"
