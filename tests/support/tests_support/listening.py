"""A service that listens on a free port, served by uvicorn as `radii up` does, in a thread; and clients of bytes."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from radii.service.api.app import create_app
from radii.service.limits.connections import server_config
from radii.worker.settings import Settings
from radii.worker.store.database import Database
from tests_support.over_http import HOST, Service, always_measured

SECONDS = 10.0
"""A socket of a test waits this long; nothing that passes waits for it."""


@dataclass(frozen=True, kw_only=True)
class Listening:
    """The service with its port. ``radii.service.client.client`` does not go through the socket."""

    service: Service
    app: FastAPI
    port: int

    def connect(self, source: str = "127.0.0.1", receive_buffer: int | None = None) -> socket.socket:
        """A connection from one of the loopback addresses."""
        made = socket.socket()
        if receive_buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        made.bind((source, 0))
        made.settimeout(SECONDS)
        made.connect(("127.0.0.1", self.port))
        return made

    def send(self, text: str, source: str = "127.0.0.1") -> socket.socket:
        """A connection on which this was sent; each line of it without its end."""
        made = self.connect(source)
        made.sendall(text.encode())
        return made

    def get(self, path: str, source: str = "127.0.0.1", **headers: str) -> tuple[int, str]:
        """Status and body of a GET on a connection of its own."""
        with self.send(head("GET", path, Connection="close", **headers), source) as made:
            return answer_on(made)

    def refused(self, reason: str) -> float:
        """How often the service refused something for this reason."""
        return self.service.app.state.registry.get_sample_value("radii_http_refused_total", {"reason": reason}) or 0.0

    def gauge(self, name: str) -> float:
        """A gauge of the service's metrics."""
        return self.service.app.state.registry.get_sample_value(f"radii_{name}") or 0.0


@contextmanager
def listening(database: Database, settings: Settings, *, require_key: bool = False) -> Iterator[Listening]:
    """A service on a free port, ended with the block."""
    app = always_measured(create_app(settings, database, require_key=require_key))
    server = uvicorn.Server(server_config(app, timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        client = TestClient(app, base_url=HOST, raise_server_exceptions=False)
        service = Service(app=app, client=client, database=database, settings=settings)
        try:
            yield Listening(service=service, app=app, port=port)
        finally:
            app.state.watch.close()
            app.state.urgent_watch.close()
            server.should_exit = True
            thread.join(SECONDS)


def head(method: str, path: str, **headers: str) -> str:
    """The head of a request; underscores in names of headers stand for hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""])


def answer_on(connection: socket.socket) -> tuple[int, str]:
    """Status and body of an answer that ends with its connection; (0, "") where it ends without one."""
    got = bytearray()
    try:
        while piece := connection.recv(65_536):
            got += piece
    except ConnectionResetError:
        pass
    if not got:
        return 0, ""
    first, _, rest = got.decode().partition("\r\n")
    return int(first.split()[1]), rest.partition("\r\n\r\n")[2]


def status_on(connection: socket.socket) -> int:
    """The status of the answer that comes next; 0 where the connection ends without one."""
    try:
        first = connection.makefile("rb").readline()
    except ConnectionResetError:
        return 0
    return int(first.split()[1]) if first else 0
