"""Archives of torch.save that lie: about their members, their storages, their tensors."""

import io
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import torch

from radii.rs_core.models import registry as models
from tests_support.hostile import pickles
from tests_support.hostile.case import Case, checkpoint


def saved(body: Any, *, new: bool = True) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(body, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


@lru_cache(maxsize=1)
def _weights() -> dict[str, torch.Tensor]:
    return dict(models.build("digits_cnn", num_classes=10, input_shape=(1, 8, 8)).network.state_dict())


def state(**changed: torch.Tensor) -> dict[str, torch.Tensor]:
    """The state dict of a ``digits_cnn``; ``fc1_weight=...`` replaces ``fc1.weight``."""
    return _weights() | {name.replace("_", ".", 1): tensor for name, tensor in changed.items()}


def rezipped(content: bytes, change: Callable[[str, bytes], tuple[str, bytes]], compression: int = 0) -> bytes:
    """The archive with each member changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", compression) as new:
        for info in old.infolist():
            new.writestr(*change(info.filename, old.read(info)))
    return file.getvalue()


def tensor_pickle(
    kind: str, key: str, numel: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> bytes:
    """A pickle of ``{"fc2.bias": tensor}`` over a storage, with whatever numbers."""
    text = lambda value: b"X" + len(value).to_bytes(4, "little") + value.encode()  # noqa: E731
    number = lambda value: b"\x8a\x08" + struct.pack("<q", value)  # noqa: E731
    storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(numel) + b"tQ"
    sizes, strides = (b"(" + b"".join(number(value) for value in values) + b"t" for values in (size, stride))
    hooks = b"ccollections\nOrderedDict\n)R"
    made = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + sizes + strides + b"\x89" + hooks + b"tR"
    )
    return b"\x80\x02}" + text("fc2.bias") + made + b"s."


def _tensor(*numbers: Any, kind: str = "FloatStorage", key: str = "0", content: bytes = bytes(40)) -> bytes:
    numel, offset, size, stride = numbers
    return pickles.in_zip(tensor_pickle(kind, key, numel, offset, size, stride), _0=content)


def cases() -> Iterator[Case]:
    """Archives first, then storages, then tensors of the wrong kind."""
    yield from _archives()
    yield from _storages()
    yield from _tensors()


def _archives() -> Iterator[Case]:
    yield checkpoint("a checkpoint packed to a two-hundredth of its size", "packed.pt", lambda canary: _packed())
    yield checkpoint(
        "a checkpoint with a second data.pkl that calls os.system",
        "twice.pt",
        lambda canary: _twice(pickles.call("os", "system", (canary.shell,))),
        sampled=True,
    )
    yield checkpoint(
        "a checkpoint whose directory names another pickle than its own header",
        "names.pt",
        lambda canary: saved(state()).replace(b"archive/data.pkl", b"archive/dato.pkl", 1),
        harmless=_is_digits_cnn,
    )
    yield checkpoint("an archive whose members lead out of it", "out.pt", lambda canary: _moved("../../../etc/x"))
    yield checkpoint("an archive with an absolute member", "absolute.pt", lambda canary: _moved("/etc/cron.d/x"))
    yield checkpoint("an archive with a member named in backslashes", "back.pt", lambda canary: _moved("..\\..\\x"))
    yield checkpoint(
        "a picture with a checkpoint behind it",
        "picture.pt",
        lambda canary: b"\x89PNG\r\n\x1a\n" + pickles.in_zip(pickles.call("os", "system", (canary.shell,))),
    )
    yield checkpoint(
        "a checkpoint behind a program",
        "program.pt",
        lambda canary: f"#!/bin/sh\n{canary.shell}\nexit\n".encode() + saved(state()),
    )
    yield checkpoint("a checkpoint without its end", "cut.pt", lambda canary: saved(state())[:-100])
    yield checkpoint("a checkpoint without its beginning", "headless.pt", lambda canary: saved(state())[100:])
    yield checkpoint("TorchScript", "script.pt", lambda canary: _scripted())
    yield checkpoint(
        "an archive that hides a program among weights",
        "code.pt",
        lambda canary: _added("archive/code/__torch__.py", canary.python.encode()),
    )
    yield checkpoint("an archive of 70,000 empty members", "many.pt", lambda canary: _many(70_000))
    yield checkpoint(
        "a checkpoint whose byte order is unknown", "order.pt", lambda canary: _replaced("byteorder", b"middle")
    )
    yield checkpoint(
        "a checkpoint of version 999",
        "version.pt",
        lambda canary: _replaced("version", b"999\n"),
        harmless=_is_digits_cnn,
    )
    yield checkpoint("an empty file", "empty.pt", lambda canary: b"")
    yield checkpoint("the two letters PK", "pk.pt", lambda canary: b"PK")


def _storages() -> Iterator[Case]:
    big = 2**40
    yield checkpoint("a storage of four terabytes", "huge.pt", lambda canary: _tensor(big, 0, (big,), (1,)))
    yield checkpoint("a storage of a negative size", "negative.pt", lambda canary: _tensor(-1, 0, (10,), (1,)))
    yield checkpoint(
        "a tensor that begins behind its storage", "behind.pt", lambda canary: _tensor(10, 10**6, (10,), (1,))
    )
    yield checkpoint(
        "a tensor that begins before its storage", "before.pt", lambda canary: _tensor(10, -8, (10,), (1,))
    )
    yield checkpoint(
        "a tensor with strides out of its storage", "stride.pt", lambda canary: _tensor(10, 0, (10,), (10**9,))
    )
    yield checkpoint("a tensor with negative strides", "back.pt", lambda canary: _tensor(10, 9, (10,), (-1,)))
    yield checkpoint("a tensor of a negative shape", "shape.pt", lambda canary: _tensor(10, 0, (-10,), (1,)))
    yield checkpoint("a tensor whose shape overflows", "overflow.pt", lambda canary: _tensor(10, 0, (2**62, 4), (1, 1)))
    yield checkpoint("a tensor of 10^12 values over one", "expanded.pt", lambda canary: _tensor(1, 0, (10**12,), (0,)))
    yield checkpoint(
        "a storage whose name leads out",
        "key.pt",
        lambda canary: _tensor(10, 0, (10,), (1,), key="../../../../etc/passwd"),
    )
    yield checkpoint(
        "a storage of no known type",
        "type.pt",
        lambda canary: _tensor(10, 0, (10,), (1,), kind="_C._CudaDeviceProperties"),
    )
    yield checkpoint(
        "a storage larger than its member", "short.pt", lambda canary: _tensor(10, 0, (10,), (1,), content=bytes(4))
    )


def _tensors() -> Iterator[Case]:
    kinds: dict[str, Callable[[], torch.Tensor]] = {
        "sparse": lambda: torch.zeros(10).to_sparse(),
        "complex": lambda: torch.zeros(10, dtype=torch.complex64),
        "boolean": lambda: torch.zeros(10, dtype=torch.bool),
        "without storage": lambda: torch.zeros(10, device="meta"),
        "infinite": lambda: torch.full((10,), float("inf")),
        "of ten million values": lambda: torch.zeros(10_000_000),
        "of no values": lambda: torch.zeros(0),
        "of sixty axes": lambda: torch.zeros([1] * 60),
    }
    for name, made in kinds.items():
        yield checkpoint(
            f"weights that are {name}",
            "kind.pt",
            lambda canary, made=made: saved(state(fc2_bias=made())),
            sampled=name == "sparse",
        )
    yield checkpoint(
        "weights under a name of a million letters",
        "name.pt",
        lambda canary: saved(state() | {"a" * 1_000_000: torch.zeros(1)}),
    )
    yield checkpoint(
        "weights under names of control characters",
        "control.pt",
        lambda canary: saved(state() | {f"\x1b[2J\n\x00{n}": torch.zeros(1) for n in range(50)}),
    )
    yield checkpoint(
        "weights under names that are numbers",
        "numbers.pt",
        lambda canary: saved({n: torch.zeros(1) for n in range(50)}),
    )
    yield checkpoint(
        "fifty thousand weights too many",
        "extra.pt",
        lambda canary: saved(state() | {f"extra.{n}": torch.zeros(()) for n in range(50_000)}),
    )
    yield checkpoint("a dict that contains itself", "itself.pt", lambda canary: saved(_itself()))


def _is_digits_cnn(row: Any) -> bool:
    return row["architecture"] == "digits_cnn" and row["num_classes"] == 10


def _itself() -> dict[str, Any]:
    body: dict[str, Any] = {}
    body["state_dict"] = body
    return body


def _packed() -> bytes:
    large = saved({"fc2.bias": torch.zeros(50_000_000)})
    return rezipped(large, lambda name, content: (name, content), zipfile.ZIP_DEFLATED)


def _twice(pickled: bytes) -> bytes:
    file = io.BytesIO(saved(state()))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("archive/data.pkl", pickled)
    return file.getvalue()


def _moved(where: str) -> bytes:
    return rezipped(saved(state()), lambda name, content: (where if name.endswith("/0") else name, content))


def _added(name: str, content: bytes) -> bytes:
    file = io.BytesIO(saved(state()))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def _replaced(member: str, by: bytes) -> bytes:
    return rezipped(saved(state()), lambda name, content: (name, by if name.endswith(f"/{member}") else content))


def _many(count: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        for number in range(count):
            archive.writestr(f"archive/data/{number}", b"")
    return file.getvalue()


def _scripted() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    return file.getvalue()
