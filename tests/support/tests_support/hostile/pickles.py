"""Pickles that call something as they are read, in each container in which torch.load finds them.

The streams are put together opcode by opcode, since most of what they name cannot be pickled by honest means.
"""

import io
import pickle  # noqa: TID251  (as an attacker writes them; nothing here reads one)
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from tests_support.hostile.case import Canary, Case, checkpoint

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
CALLS: dict[str, Callable[[Canary], tuple[str, str, tuple[Any, ...]]]] = {
    "os.system": lambda c: ("os", "system", (c.shell,)),
    "posix.system": lambda c: ("posix", "system", (c.shell,)),
    "os.popen": lambda c: ("os", "popen", (c.shell,)),
    "os.execv": lambda c: ("os", "execv", ("/bin/sh", ["sh", "-c", c.shell])),
    "subprocess.Popen": lambda c: ("subprocess", "Popen", (["sh", "-c", c.shell],)),
    "subprocess.getoutput": lambda c: ("subprocess", "getoutput", (c.shell,)),
    "pty.spawn": lambda c: ("pty", "spawn", (["sh", "-c", c.shell],)),
    "builtins.eval": lambda c: ("builtins", "eval", (c.expression,)),
    "builtins.exec": lambda c: ("builtins", "exec", (c.python,)),
    "__builtin__.eval": lambda c: ("__builtin__", "eval", (c.expression,)),
    "builtins.__import__": lambda c: ("builtins", "__import__", ("antigravity",)),
    "timeit.timeit": lambda c: ("timeit", "timeit", (c.python,)),
    "runpy._run_code": lambda c: ("runpy", "_run_code", (c.python, {})),
    "importlib.import_module": lambda c: ("importlib", "import_module", ("this",)),
    "webbrowser.open": lambda c: ("webbrowser", "open", ("http://127.0.0.1:9/",)),
    "socket.create_connection": lambda c: ("socket", "create_connection", (("127.0.0.1", 9),)),
    "shutil.rmtree": lambda c: ("shutil", "rmtree", (str(c.folder / "absent"),)),
    "pathlib.Path.touch": lambda c: ("pathlib", "Path.touch", (str(c.folder / "path"),)),
    "ctypes.CDLL": lambda c: ("ctypes", "CDLL", ("libc.so.6",)),
    "pickle.loads": lambda c: ("pickle", "loads", (call("os", "system", (c.shell,)),)),
    "torch.storage._load_from_bytes": lambda c: (
        "torch.storage",
        "_load_from_bytes",
        (in_zip(call("os", "system", (c.shell,))),),
    ),
    "torch.load": lambda c: ("torch", "load", (str(c.folder / "absent.pt"),)),
    "torch.hub.load": lambda c: ("torch.hub", "load", ("a/b", "c")),
    "torch.jit.load": lambda c: ("torch.jit", "load", (str(c.folder / "absent.pt"),)),
    "numpy.load": lambda c: ("numpy", "load", (str(c.folder / "absent.npy"), None, True)),
    "logging.config.dictConfig": lambda c: ("logging.config", "dictConfig", ({"version": 1},)),
    "operator.methodcaller": lambda c: ("operator", "methodcaller", ("__reduce__",)),
    "pip.main": lambda c: ("pip", "main", (["--version"],)),
}
OLD_FORM = ("os.system", "builtins.eval", "subprocess.Popen", "torch.storage._load_from_bytes")
BARE_FORM = ("os.system", "builtins.exec", "pickle.loads")


def call(module: str, name: str, arguments: tuple[Any, ...]) -> bytes:
    """A pickle of ``{"fc1.weight": module.name(*arguments)}``."""
    key = b"X" + (10).to_bytes(4, "little") + b"fc1.weight"
    packed = pickle.dumps(arguments, 2)[2:-1]
    return b"\x80\x02}" + key + f"c{module}\n{name}\n".encode() + packed + b"Rs."


def in_zip(pickled: bytes, **members: bytes) -> bytes:
    """The archive that torch.save writes around a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", b"little")
        for name, content in members.items():
            archive.writestr(f"archive/data/{name.removeprefix('_')}", content)
        archive.writestr("archive/version", b"3\n")
    return file.getvalue()


def in_old_form(pickled: bytes) -> bytes:
    """What torch.save wrote before version 1.6: pickles one after the other."""
    about = {"protocol_version": LEGACY_PROTOCOL, "little_endian": True, "type_sizes": {}}
    parts = [pickle.dumps(part, 2) for part in (LEGACY_MAGIC, LEGACY_PROTOCOL, about)]
    return b"".join([*parts, pickled, pickle.dumps([], 2)])


def cases() -> Iterator[Case]:
    """Every call in torch's archive, some in the other containers, and pickles that only grow."""
    for name, made in CALLS.items():
        yield checkpoint(
            f"a checkpoint that calls {name}",
            "calls.pt",
            lambda canary, made=made: in_zip(call(*made(canary))),
            sampled=name in ("os.system", "torch.storage._load_from_bytes"),
        )
    for name in OLD_FORM:
        yield checkpoint(
            f"a checkpoint of the old form that calls {name}",
            "old.pth",
            lambda canary, made=CALLS[name]: in_old_form(call(*made(canary))),
            sampled=name == "os.system",
        )
    for name in BARE_FORM:
        yield checkpoint(
            f"a bare pickle that calls {name}",
            "bare.pkl",
            lambda canary, made=CALLS[name]: call(*made(canary)),
        )
    yield checkpoint("a pickle that doubles a list forty times", "doubles.pt", lambda canary: in_zip(_doubling(40)))
    yield checkpoint("a pickle nested 200,000 deep", "deep.pt", lambda canary: in_zip(_nested(200_000)))
    yield checkpoint("a pickle of a whole number of 8 MB", "number.pt", lambda canary: in_zip(_number(8_000_000)))
    yield checkpoint(
        "a pickle that announces 4 GB of text", "text.pt", lambda canary: in_zip(b"\x80\x02X\xff\xff\xff\xffabc.")
    )
    yield checkpoint("a pickle that takes from an empty stack", "stack.pt", lambda canary: in_zip(b"\x80\x02RRR."))
    yield checkpoint("a pickle of protocol 200", "protocol.pt", lambda canary: in_zip(b"\x80\xc8}."))
    yield checkpoint("a pickle without an end", "endless.pt", lambda canary: in_zip(b"\x80\x02" + b"(" * 1_000_000))
    yield checkpoint("a pickle of two million memo entries", "memo.pt", lambda canary: in_zip(_memo(2_000_000)))


def _doubling(times: int) -> bytes:
    """A list of two references to a list of two references, and so on."""
    step = b"]q\x00" + b"".join(b"](h" + bytes([n]) + b"h" + bytes([n]) + b"eq" + bytes([n + 1]) for n in range(times))
    return b"\x80\x02" + step + b"."


def _nested(depth: int) -> bytes:
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def _number(size: int) -> bytes:
    return b"\x80\x02\x8b" + size.to_bytes(4, "little") + b"\x01" * size + b"."


def _memo(entries: int) -> bytes:
    return b"\x80\x04" + b"N\x940" * entries + b"N."
