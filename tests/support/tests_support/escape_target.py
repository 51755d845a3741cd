"""What code inside a confined process may try to reach, and whether this system can keep it from that at all."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radii.worker.isolation import landlock


@contextmanager
def things_to_reach(folder: Path, memory: int) -> Iterator[dict[str, Any]]:
    """Servers, a process with a secret, a data folder, a home and an input, as ``escape`` names them.

    Args:
        folder: Where the files are made.
        memory: Bytes of address space that the confined process may have.
    """
    data, home = folder / "data", folder / "home"
    (data / "blobs" / "ab").mkdir(parents=True)
    (data / "blobs" / "new").mkdir()
    home.mkdir()
    for path in (
        data / "radii.db",
        data / "blobs" / "ab" / "other",
        home / "secret",
        *(data / "blobs" / "new" / name for name in ("spare", "doomed")),
    ):
        path.write_bytes(b"secret")
        path.chmod(0o600)
    data.chmod(0o700)
    name = f"radii-{os.getpid()}-{os.urandom(4).hex()}"
    with (
        tempfile.TemporaryDirectory() as short,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as file,
        socket.socket(socket.AF_UNIX) as abstract,
        subprocess.Popen(["sleep", "600"], env={"SECRET": "s"}, start_new_session=True) as victim,
    ):
        file.bind(f"{short}/s")
        abstract.bind("\0" + name)
        for each in (file, abstract):
            each.listen(100)
        with (data / "blobs" / "ab" / "input").open("wb") as npz:
            np.savez(npz, images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 1, 1, 0]))
        yield {
            "port": tcp.getsockname()[1],
            "socket": f"{short}/s",
            "abstract": name,
            "victim": victim.pid,
            "data": str(data),
            "home": str(home),
            "input": str(data / "blobs" / "ab" / "input"),
            "outputs": str(data / "blobs" / "new"),
            "output": str(data / "blobs" / "new" / "out"),
            "spare": str(data / "blobs" / "new" / "spare"),
            "doomed": str(data / "blobs" / "new" / "doomed"),
            "memory": memory,
        }
        victim.kill()


def reached(found: dict[str, Any]) -> set[str]:
    """The attempts that were not refused, whichever process they were aimed at."""
    return {name for each in found["attempts"].values() for name, how in each.items() if how == "reached"}


def need_restrictions() -> None:
    """Skips the test where the system lacks some of them."""
    try:
        version = landlock.abi()
    except OSError as error:
        pytest.skip(f"this system has no Landlock ({error}): the confinement was NOT tested")
    if version < 6:
        pytest.skip(
            f"this system has Landlock ABI {version}, without signals: the confinement was NOT tested as a whole"
        )
