"""What code in a confined process may try to reach."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support import confined


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def target(place: Path) -> Iterator[dict[str, Any]]:
    """Things to reach: servers, a process with a secret, a data folder, a home."""
    data, home = place / "data", place / "home"
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
            "memory": confined.MEMORY,
        }
        victim.kill()


@pytest.fixture
def target_of_other(target: dict[str, Any], place: Path) -> Iterator[dict[str, Any]]:
    """The same, of a user without rights."""
    if os.geteuid() != 0:
        pytest.skip("only root can start processes of another user: NOT tested")
    Path(target["output"]).touch()
    for path in place.rglob("*"):
        os.chown(path, confined.OTHER, confined.OTHER)
    with subprocess.Popen(["sleep", "600"], env={"SECRET": "s"}, start_new_session=True, user=confined.OTHER) as victim:
        yield target | {"victim": victim.pid}
        victim.kill()
