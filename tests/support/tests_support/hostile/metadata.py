"""Files in this software's own form whose records lie: about pixels, labels, names, classes, parts and numbers."""

import json
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.checkpoints import checkpoint as checkpoints
from radii.rs_core.checkpoints.checkpoint import CheckpointInfo
from radii.rs_core.errors import InvalidCheckpoint
from radii.rs_core.models import registry as models
from radii.rs_core.safetensors_header import read_header
from tests_support.hostile.case import Case, checkpoint, dataset
from tests_support.hostile.tensorfiles import ours, written

COUNT = 20
Changed = Mapping[str, Any]


def stored_dataset(images: NDArray[Any] | None = None, labels: NDArray[Any] | None = None, **changed: Any) -> bytes:
    """A stored dataset of 20 images, with whatever pixels, labels and further entries of its record."""
    images = np.zeros((COUNT, 1, 8, 8), np.float32) if images is None else images
    labels = np.arange(COUNT) % 2 if labels is None else labels
    body = {"kind": "dataset", "version": 1, "class_names": ["a", "b"], "source": "npz"} | changed
    between = 8 * len(labels)
    letters = "U8" if images.dtype == np.uint8 else "F32"
    tensors = {
        "labels": {"dtype": "I64", "shape": [len(labels)], "data_offsets": [0, between]},
        "images": {"dtype": letters, "shape": list(images.shape), "data_offsets": [between, between + images.nbytes]},
    }
    return ours(body, tensors, labels.astype("<i8").tobytes() + images.tobytes())


def _images(value: float) -> NDArray[np.float32]:
    images = np.full((COUNT, 1, 8, 8), 0.5, np.float32)
    images[7, 0, 3, 3] = value
    return images


def _labels(value: int) -> NDArray[np.int64]:
    labels = np.arange(COUNT) % 2
    labels[7] = value
    return labels


@lru_cache(maxsize=1)
def _sound() -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """The record, the tensors' entries and the bytes of a sound checkpoint."""
    info = CheckpointInfo(
        architecture="digits_cnn", num_classes=10, input_shape=(1, 8, 8), sigma=0.25, method="gaussian"
    )
    model = models.build("digits_cnn", num_classes=10, input_shape=(1, 8, 8))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sound.safetensors"
        checkpoints.save(model, info, path)
        header, content = read_header(path, InvalidCheckpoint), path.read_bytes()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    tensors = {
        name: {"dtype": at.dtype, "shape": list(at.shape), "data_offsets": [at.start - start, at.end - start]}
        for name, at in header.tensors.items()
    }
    body = header.ours()
    assert body is not None
    return body, tensors, content[start:]


def stored_checkpoint(**changed: Any) -> bytes:
    """A sound checkpoint but for these entries of its record."""
    body, tensors, data = _sound()
    return ours(body | {"info": body["info"] | changed}, tensors, data)


DATASETS: dict[str, Any] = {
    "has pixels a thousand times too large": lambda: stored_dataset(_images(1000.0)),
    "has a negative pixel": lambda: stored_dataset(_images(-5.0)),
    "has a pixel of 1 and the smallest step": lambda: stored_dataset(
        _images(float(np.nextafter(np.float32(1), np.float32(2))))
    ),
    "has a pixel that is not a number": lambda: stored_dataset(_images(float("nan"))),
    "has an infinite pixel": lambda: stored_dataset(_images(float("inf"))),
    "has a label of 10^15": lambda: stored_dataset(labels=_labels(10**15)),
    "has a label of -7": lambda: stored_dataset(labels=_labels(-7)),
    "has one class": lambda: stored_dataset(labels=np.zeros(COUNT, np.int64), class_names=["a"]),
    "has class names of 16 MB": lambda: stored_dataset(class_names=["a" * 200 + str(n) for n in range(75_000)]),
    "has a class name of a million letters": lambda: stored_dataset(class_names=["a" * 1_000_000, "b"]),
    "has a class name of half a surrogate pair": lambda: stored_dataset(class_names=["\ud800", "b"]),
    "has a class name with a NUL character": lambda: stored_dataset(class_names=["a\x00", "b"]),
    "has a class name that is a number": lambda: stored_dataset(class_names=[1, 2]),
    "has groups of corruptions that lie": lambda: stored_dataset(
        corrupted={"groups": [{"corruption": "fog", "severity": 1, "start": 0, "stop": 10**9}], "constants": "x"}
    ),
    "has a million groups of corruptions": lambda: stored_dataset(
        corrupted={
            "groups": [{"corruption": "fog", "severity": 1, "start": n, "stop": n + 1} for n in range(100_000)],
            "constants": "x",
        }
    ),
    "has a record that is a list": lambda: ours("[]"),
    "has a record nested 100,000 deep": lambda: ours('{"a":' * 100_000 + "1" + "}" * 100_000),
    "has five channels": lambda: stored_dataset(np.zeros((COUNT, 5, 8, 8), np.float32)),
    "has images without height": lambda: stored_dataset(np.zeros((COUNT, 1, 0, 8), np.float32)),
}
CHECKPOINTS: dict[str, Changed] = {
    "says a hundred million classes": {"num_classes": 100_000_000},
    "says a hundred thousand classes": {"num_classes": 100_000},
    "says one class": {"num_classes": 1},
    "says images of side 4096": {"input_shape": [3, 4096, 4096]},
    "says a negative side": {"input_shape": [1, -8, 8]},
    "says a noise level that is not a number": {"sigma": "NaN"},
    "says a noise level below 0": {"sigma": -1.0},
    "says a noise level of 10^300": {"sigma": 1e300},
    "says a standard deviation of 0": {"normalization": {"mean": [0.0], "std": [0.0]}},
    "says a standard deviation of 10^-300": {"normalization": {"mean": [0.0], "std": [1e-300]}},
    "says an architecture that leads out": {"architecture": "../../etc/passwd"},
    "says an architecture of torchvision with other weights": {"architecture": "torchvision/vit_h_14"},
    "says an epoch of 10^30": {"epoch": 10**30},
    "says a method of a million letters": {"method": "m" * 1_000_000},
    "says class names of half a surrogate pair": {"class_names": ["\ud800"] * 10},
    "says a hash that is none": {"file_sha256": "../../../etc/passwd"},
    "says a composition without parts": {"composition": {"kind": "ensemble"}},
    "says a field that is unknown": {"__class__": "os.system"},
}


def cases() -> Iterator[Case]:
    """Datasets, then checkpoints; what a checkpoint says of its making may be anything that can be shown."""
    for name, made in DATASETS.items():
        yield dataset(
            f"a stored dataset that {name}",
            "d.safetensors",
            made,
            harmless=(lambda row: row["shape"] == [5, 8, 8]) if name == "has five channels" else None,
            sampled=name in ("has pixels a thousand times too large", "has a pixel that is not a number"),
        )
    for name, changed in CHECKPOINTS.items():
        yield checkpoint(
            f"a stored checkpoint that {name}",
            "c.safetensors",
            lambda canary, changed=changed: stored_checkpoint(**changed),
            sampled=name == "says class names of half a surrogate pair",
        )
    for name, provenance in PROVENANCES.items():
        yield checkpoint(
            f"a stored checkpoint whose provenance {name}",
            "p.safetensors",
            lambda canary, provenance=provenance: stored_checkpoint(provenance=provenance),
            harmless=lambda row: row["architecture"] == "digits_cnn",
            sampled=name == "is half a surrogate pair",
        )
    yield checkpoint("a stored checkpoint of parts in parts 200 deep", "parts.safetensors", lambda canary: _deep(200))
    yield checkpoint("a stored checkpoint without tensors", "none.safetensors", lambda canary: _without_tensors())


PROVENANCES: dict[str, Any] = {
    "is half a surrogate pair": {"note": "\ud800"},
    "has a NUL character": {"note": "a\x00b"},
    "is a program in HTML": {"note": "<script>alert(1)</script>", "origin": "<img src=x onerror=alert(1)>"},
    "is a megabyte": {"note": "x" * 1_000_000},
    "is nested 400 deep": {"note": json.loads("[" * 400 + "]" * 400)},
}


def _deep(depth: int) -> bytes:
    body, tensors, data = _sound()
    info = body["info"]
    for _ in range(depth):
        info = info | {"composition": {"kind": "ensemble"}, "parts": [info, body["info"]], "architecture": "ensemble"}
    return ours(body | {"info": info}, tensors, data)


def _without_tensors() -> bytes:
    body, _, _ = _sound()
    return written({"__metadata__": {"radii": json.dumps(body)}}, b"")
