"""Safetensors files whose header lies about itself, its tensors or its texts."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests_support.hostile.case import Case, checkpoint, dataset

BIAS: dict[str, Any] = {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}


def written(header: Mapping[str, Any] | bytes, data: bytes = bytes(40), length: int | None = None) -> bytes:
    """The file with this header; ``length`` is what it announces."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def ours(body: Any, tensors: Mapping[str, Any] | None = None, data: bytes = bytes(40)) -> bytes:
    """The file with what this software writes beside the tensors, whatever it is."""
    text = body if isinstance(body, str) else json.dumps(body)
    return written({"__metadata__": {"radii": text}, **(tensors or {"fc2.bias": BIAS})}, data)


def _entry(**changed: Any) -> dict[str, Any]:
    return {"fc2.bias": BIAS | changed}


HEADERS: dict[str, bytes] = {
    "announces a header of 2^63 bytes": written(_entry(), length=2**63),
    "announces a header of 100 MB": written(_entry(), length=100_000_000),
    "has an empty header": written(b""),
    "has a list as its header": written(b"[1, 2, 3]" + b" " * 7),
    "has a header cut short": written(b'{"fc2.bias": {"dtype": "F32"'),
    "has a header that is no UTF-8": written(b'{"\xff\xfe": 1}'),
    "has a header nested 100,000 deep": written(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "has a number of 100,000 digits in its header": written(
        b'{"fc2.bias":{"dtype":"F32","shape":[' + b"9" * 100_000 + b'],"data_offsets":[0,40]}}'
    ),
    "has metadata that are no texts": written({"__metadata__": {"a": [1] * 1000}, **_entry()}),
    "has metadata of 8 MB": written({"__metadata__": {"a": "x" * 8_000_000}, **_entry()}),
    "has a list as its metadata": written({"__metadata__": ["radii"], **_entry()}),
    "has one name twice": written(
        b'{"fc2.bias":{"dtype":"F32","shape":[10],"data_offsets":[0,40]},"fc2.bias":{"dtype":"F32","shape":[1000000],"data_offsets":[0,4000000]}}'
    ),
    "has an unknown type": written(_entry(dtype="F8_E9M9")),
    "has a type that is a list": written(_entry(dtype=["F32"])),
    "has a shape that overflows": written(_entry(shape=[2**40, 2**40, 2**40])),
    "has a negative shape": written(_entry(shape=[-10])),
    "has a shape of true and false": written(_entry(shape=[True, 10])),
    "has a shape of a million axes": written(_entry(shape=[1] * 1_000_000)),
    "has offsets behind the file": written(_entry(data_offsets=[10**12, 10**12 + 40])),
    "has offsets in the wrong order": written(_entry(data_offsets=[40, 0])),
    "has fractions as offsets": written(_entry(data_offsets=[0.5, 40.5])),
    "has tensors that overlap": written({"a": BIAS, "b": BIAS}),
    "has a hole between its tensors": written({"a": BIAS, "b": BIAS | {"data_offsets": [80, 120]}}, bytes(120)),
    "has bytes behind its tensors": written(_entry(), bytes(1_000)),
    "has a tensor without its bytes": written(_entry(), bytes(4)),
    "has a tensor that is null": written({"fc2.bias": None}),
    "has a name of a million letters": written({"n" * 1_000_000: BIAS}),
    "has a name of half a surrogate pair": written(b'{"\\ud800":{"dtype":"F32","shape":[10],"data_offsets":[0,40]}}'),
    "has a name with a NUL character": written({"fc2\x00.bias": BIAS}),
    "has weights that are not a number": written(_entry(), b"\xff" * 40),
}
SAMPLED = (
    "announces a header of 2^63 bytes",
    "has a name of half a surrogate pair",
    "has a header nested 100,000 deep",
)


def cases() -> Iterator[Case]:
    """Each header as a checkpoint, and many tensors; what datasets add is in ``metadata``."""
    for name, content in HEADERS.items():
        yield checkpoint(
            f"a safetensors file that {name}",
            "w.safetensors",
            lambda canary, content=content: content,
            sampled=name in SAMPLED,
        )
    yield checkpoint("a safetensors file of 200,000 tensors", "w.safetensors", lambda canary: _many(200_000))
    yield dataset("a dataset in safetensors that announces 2^62 images", "d.safetensors", _too_many_images)


def _many(count: int) -> bytes:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return written({f"t{number}": empty for number in range(count)}, b"")


def _too_many_images() -> bytes:
    body = {"kind": "dataset", "version": 1, "class_names": ["a", "b"], "source": "npz"}
    tensors = {
        "labels": {"dtype": "I64", "shape": [2**62], "data_offsets": [0, 8]},
        "images": {"dtype": "U8", "shape": [2**62, 1, 8, 8], "data_offsets": [8, 16]},
    }
    return ours(body, tensors, bytes(16))
