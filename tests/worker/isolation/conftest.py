"""What code in a confined process may try to reach."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support import confined, escape_target


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users can enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def target(place: Path) -> Iterator[dict[str, Any]]:
    """What code in the process tries to reach."""
    with escape_target.things_to_reach(place, confined.MEMORY) as found:
        yield found


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
