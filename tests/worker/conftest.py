"""A slot whose child is a fake one."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support import fake_child
from tests_support.slots import SlotMaker

from radii.worker.child import handle
from radii.worker.loop import WorkerSlot, end
from radii.worker.settings import Settings
from radii.worker.store.database import Database


@pytest.fixture
def slot(database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlotMaker]:
    """Makes a slot whose child is the fake one, behaving as told."""
    made: list[WorkerSlot] = []

    def make(behaviour: str = "", **changes: object) -> WorkerSlot:
        monkeypatch.setattr(handle, "COMMAND", (sys.executable, fake_child.__file__))
        monkeypatch.setenv("FAKE_CHILD", behaviour)
        fields = {"data": tmp_path, "database_url": database_url, "commit": 0.05, "child_start": 10.0}
        fields |= {"retry_pause": 0.0}
        made.append(WorkerSlot(Settings(**fields | changes), database))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        end(one)
