"""Finds or starts the servers that tests need. Postgres refuses to run as root, so root starts it as another user."""

import contextlib
import glob
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
import redis as redis_client

from tests_support import system

UNPRIVILEGED = ("postgres", "nobody")


def missing(what: str) -> NoReturn:
    """Ends a test that needs what is not there: skipped loudly, in CI failed."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is neither running nor installed, and in CI it must be")
    pytest.skip(f"{what} is neither running nor installed: this part of radii was NOT tested")


@dataclass(frozen=True)
class Postgres:
    """A server, and whether it was started here (and may be stopped, killed or filled up)."""

    host: str
    port: int
    user: str
    own: bool

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}@{self.host}:{self.port}"

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The URL of a fresh database, a copy of ``template``, dropped afterwards."""
        name = f"radii_test_{secrets.token_hex(6)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield f"{self.url}/{name}"
        finally:
            self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres | None]:
    """A running server on the usual port, else one started in ``folder``, else None."""
    for user in dict.fromkeys(("postgres", pwd.getpwuid(os.getuid()).pw_name)):
        server = Postgres("127.0.0.1", 5432, user, own=False)
        with contextlib.suppress(psycopg.Error), psycopg.connect(f"{server.url}/postgres", connect_timeout=3):
            yield server
            return
    with own_postgres(folder) as started:
        yield started


class OwnPostgres:
    """A server of the test's own in a folder, which may be ended and started again. Raises FileNotFoundError where the
    binaries are not installed."""

    def __init__(self, folder: Path) -> None:
        initdb, server = _binary("initdb"), _binary("postgres")
        if initdb is None or server is None:
            raise FileNotFoundError("initdb and postgres")
        self._folder, self._binary, self._user, self.port = folder, server, _unprivileged(), free_port()
        if os.getuid() == 0:
            shutil.chown(folder, self._user)
            _open_parents(folder)
        command = [initdb, "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync"]
        subprocess.run(_as(self._user, command), check=True, capture_output=True, cwd=folder)
        self.server = Postgres("127.0.0.1", self.port, "postgres", own=True)
        self.start()

    def start(self) -> None:
        """Starts it and waits until it answers."""
        options = ["-D", str(self._folder / "data"), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self._folder)]
        options += ["-c", "fsync=off", "-c", "max_connections=200"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                _as(self._user, [self._binary, *options]), stdout=log, stderr=log, cwd=self._folder
            )
        _answering(self.server)

    def running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def freeze(self) -> None:
        """Stops all its processes: it neither answers nor refuses until :meth:`thaw`."""
        system.freeze(self._process.pid)  # the first one, so that it makes no more
        for pid in system.children(self._process.pid):
            system.freeze(pid)

    def thaw(self) -> None:
        """Lets them go on."""
        for pid in [*system.children(self._process.pid), self._process.pid]:
            os.kill(pid, signal.SIGCONT)

    def end(self, how: int = signal.SIGTERM) -> None:
        """Ends it: SIGTERM when all have gone, SIGINT at once in order, SIGQUIT as in a crash."""
        self._process.send_signal(how)
        self._process.wait(timeout=60)


@contextmanager
def own_postgres(folder: Path) -> Iterator[Postgres | None]:
    """A server of the test's own, or None where the binaries are not installed."""
    try:
        own = OwnPostgres(folder)
    except FileNotFoundError:
        yield None
        return
    try:
        yield own.server
    finally:
        own.end(signal.SIGINT)


@contextmanager
def redis(folder: Path) -> Iterator[str | None]:
    """A running server on the usual port, else one started in ``folder``, else None."""
    url = "redis://127.0.0.1:6379/0"
    with contextlib.suppress(redis_client.RedisError):
        redis_client.from_url(url, socket_connect_timeout=1).ping()
        yield url
        return
    with own_redis(folder) as started:
        yield started


class OwnRedis:
    """A server of the test's own, which may be ended and started again. Raises FileNotFoundError where there is none."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            raise FileNotFoundError("redis-server")
        self._binary, self._folder, self.port = binary, folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Starts it, empty, and waits until it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [self._binary, *options, "--dir", str(self._folder)], stdout=subprocess.DEVNULL
        )
        _until(lambda: redis_client.from_url(self.url).ping(), redis_client.RedisError)

    def flush(self) -> None:
        """Forgets everything."""
        redis_client.from_url(self.url).flushall()

    def end(self) -> None:
        """Ends it as a crash does."""
        self._process.kill()
        self._process.wait(timeout=30)


@contextmanager
def own_redis(folder: Path) -> Iterator[str | None]:
    """A server of the test's own, or None where the binary is not installed."""
    try:
        own = OwnRedis(folder)
    except FileNotFoundError:
        yield None
        return
    try:
        yield own.url
    finally:
        own.end()


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _answering(server: Postgres) -> Postgres:
    _until(lambda: psycopg.connect(f"{server.url}/postgres").close(), psycopg.Error)
    return server


def _until(attempt: object, error: type[Exception], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            attempt()  # type: ignore[operator]
            return
        except error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _binary(name: str) -> str | None:
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)
    return shutil.which(name) or (found[0] if found else None)


def _unprivileged() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in UNPRIVILEGED if name in names)


def _as(user: str, command: list[str]) -> list[str]:
    if os.getuid() != 0:
        return command
    return ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups", *command]


def _open_parents(folder: Path) -> None:
    """Lets the other user reach a folder inside pytest's private ones."""
    for parent in folder.parents:
        if parent.owner() == "root" and ("pytest" in str(parent) or "radii" in parent.name):
            parent.chmod(parent.stat().st_mode | 0o011)
