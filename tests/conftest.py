"""Shared fixtures: databases and a broker. A running server is used where there is one, else one is started from the
binaries that are found, else the test is skipped loudly; under ``CI=true`` such a skip is a failure.
"""

import os

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    # Before torch is imported: where processes share the cores, threads that wait for each other take most of the time.
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support import servers, things
from tests_support.wheel import build

from radii.worker.settings import Settings
from radii.worker.store.database import Database

SLOW = 3_600
"""Seconds after which a slow test is taken to hang; for others pyproject.toml says it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files marked ``long`` come first: where two processes share the files, none is alone with one of them in the end."""
    for item in items:
        if item.get_closest_marker("slow") is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SLOW))
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source."""
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread for the test, and as many as before after it."""
    from tests_support.threads import single

    with single():
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Postgres]:
    """A Postgres server; tests make databases of their own on it."""
    with servers.postgres(tmp_path_factory.mktemp("postgres")) as server:
        if server is None:
            servers.missing("PostgreSQL")
        else:
            yield server


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis server; tests use key prefixes of their own on it."""
    with servers.redis(tmp_path_factory.mktemp("redis")) as url:
        if url is None:
            servers.missing("Redis")
        else:
            yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, on SQLite and on Postgres in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'radii.db'}"
    else:
        with request.getfixturevalue("postgres").database() as url:
            yield url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with the schema, to be copied."""
    path = tmp_path_factory.mktemp("template") / "radii.db"
    things.migrated(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def migrated_name(postgres: servers.Postgres) -> Iterator[str]:
    """The name of a Postgres database with the schema, to be copied."""
    with postgres.database() as url:
        things.migrated(url).close()
        yield url.rsplit("/", 1)[-1]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with the schema, on SQLite and on Postgres in turn."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "radii.db")
        yield f"sqlite:///{tmp_path / 'radii.db'}"
    else:
        template = request.getfixturevalue("migrated_name")
        with request.getfixturevalue("postgres").database(template) as url:
            yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, connected."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings of a radii in a folder of its own, with short intervals."""
    return Settings(
        data=tmp_path, database_url=database_url, housekeeping_seconds=0.5, poll=0.05, commit=0.2, keep_warm=5.0
    )
