"""Fixtures of the service's tests: a service on a fresh SQLite database, and one on each kind of database in turn."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support.over_http import Service, serving

from radii.worker.settings import Settings
from radii.worker.store import schema_version
from radii.worker.store.database import Database


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with the schema and nothing in it, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "radii.db"
    database = Database(f"sqlite:///{path}")
    schema_version.migrate(database.engine)
    database.close()
    return path


@pytest.fixture
def fresh(tmp_path: Path, migrated_file: Path) -> Iterator[Database]:
    """A database of the test's own."""
    path = tmp_path / "radii.db"
    shutil.copy(migrated_file, path)
    database = Database(f"sqlite:///{path}")
    yield database
    database.close()


@pytest.fixture
def service(tmp_path: Path, fresh: Database) -> Iterator[Service]:
    """A service without keys."""
    with serving(fresh, Settings(data=tmp_path, min_free=0)) as found:
        yield found


@pytest.fixture
def locked(tmp_path: Path, fresh: Database) -> Iterator[Service]:
    """A service that needs keys."""
    with serving(fresh, Settings(data=tmp_path, min_free=0), require_key=True) as found:
        yield found


@pytest.fixture
def either(database: Database, settings: Settings) -> Iterator[Service]:
    """A service without keys, on SQLite and on Postgres in turn."""
    with serving(database, settings) as found:
        yield found
