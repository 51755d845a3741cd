"""What ``radii up`` runs: one service per folder, its listening socket, its local workers, and an orderly end."""

import errno
import fcntl
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from radii.service.console import CommandError, orderly_end, say
from radii.service.local.environment import made_folder

if TYPE_CHECKING:
    from radii.worker.embedded import EmbeddedWorkers
    from radii.worker.settings import Settings

LOCK = "radii.lock"
SECONDS_FOR_REQUESTS = 5
BACKLOG = 2048
SWITCH_SECONDS = 0.001
"""The GIL's switch interval. While another thread computes, the event loop waits this long for the GIL, many times per request.
Python's default is five times as long."""
ARENAS = 2
"""In which glibc keeps the memory of threads."""
FILES_BESIDE = 200
"""Open files of a service that are no connections of clients."""


@contextmanager
def folder_lock(settings: "Settings") -> Iterator[None]:
    """Holds the folder for this process; raises :class:`CommandError` where another one serves it.

    With a broker, several services may share database and folder, and nothing is held.
    """
    if not settings.embedded:
        yield
        return
    made_folder(settings)
    # Opened for appending, because the pid of whoever holds the lock must not be emptied by those who do not get it.
    with (settings.data / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise CommandError(
                f"The folder {settings.data} is already served by another radii (process {pid}): "
                "end that one, or choose another folder with --data."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def serve(settings: "Settings", host: str, port: int, *, require_key: bool) -> None:
    """Listens, starts the local workers, serves until SIGINT or SIGTERM, then ends the workers."""
    import uvicorn

    from radii.rs_core import glibc_malloc
    from radii.worker import library_caches, logs

    glibc_malloc.give_back(arenas=ARENAS)
    library_caches.keep_in(settings)  # before matplotlib is imported
    from radii.service.api.app import create_app
    from radii.service.api.documents import DocumentProcess
    from radii.service.api.garbage_collection import freeze_loaded_objects
    from radii.service.limits.connections import server_config
    from radii.worker.housekeeping import HousekeepingThreads
    from radii.worker.isolation import availability

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            listener.listen(BACKLOG)  # asyncio has set it to as many as it accepts in one step
            freeze_loaded_objects()
            sys.setswitchinterval(SWITCH_SECONDS)
            say(f"radii is listening on {url}")
            sys.stdout.flush()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # At once: who waits for a job is let go, and workers hand back while the last requests are answered.
            app.state.watch.close()
            app.state.urgent_watch.close()
            workers.stop()
            await super().shutdown(sockets=sockets)

    listener = listen(host, port)
    url = url_of(listener)
    _as_many_connections_as_allowed()
    logs.configure(settings)
    made_folder(settings)
    with listener, orderly_end(), HousekeepingThreads(settings), _workers(settings) as workers:
        app = create_app(settings, require_key=require_key)
        app.state.documents = DocumentProcess(settings, require_key=require_key)
        app.state.decoder.start()  # nobody waits for that later
        availability.log_missing_soon(settings.sandbox_uid)
        config = server_config(app, most_connections(), timeout_graceful_shutdown=SECONDS_FOR_REQUESTS)
        Server(config).run(sockets=[listener])


def _as_many_connections_as_allowed() -> None:
    """Who waits for a job holds a connection; the usual limit of 1,024 open files is soon reached."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def most_connections() -> int:
    """How many connections the limit of open files allows: the database and files that are written need some, too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, soft - FILES_BESIDE) if soft != resource.RLIM_INFINITY else 1_000_000


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one. Raises :class:`CommandError` where the address cannot be had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # asyncio sets TCP_NODELAY only where the protocol is named. Without it, the body of every answer on a kept connection
        # waits some 40 ms for the client's delayed acknowledgement of the head.
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CommandError(f"Cannot listen on {host}: {error.strerror or error}.") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise CommandError(f"Cannot listen on {host}, port {port}: {reason}.") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The address of a bound socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _workers(settings: "Settings") -> "EmbeddedWorkers":
    from radii.worker.embedded import EmbeddedWorkers

    return EmbeddedWorkers(settings if settings.embedded else settings.model_copy(update={"local_workers": 0}))


def work(settings: "Settings") -> None:
    """One worker in this process, until SIGINT or SIGTERM. Where it refuses to work it ends with the code ``REFUSED``."""
    from radii.worker import library_caches, logs
    from radii.worker.embedded import note_failure
    from radii.worker.loop import REFUSED, CannotStart
    from radii.worker.store.folder.folder_identity import DataFolderMissing, WrongFolder
    from radii.worker.store.schema_version import WrongSchema

    logs.configure(settings)
    made_folder(settings)
    library_caches.keep_in(settings)
    try:
        if settings.embedded:
            _work_locally(settings)
        else:
            from radii.worker.celery_worker import run_worker

            run_worker(settings)
    except (WrongSchema, WrongFolder, DataFolderMissing) as error:
        raise CommandError(str(error), code=REFUSED) from None
    except CannotStart as error:
        note_failure(settings, str(error))
        raise CommandError(str(error)) from None


def _work_locally(settings: "Settings") -> None:
    from radii.worker.embedded import run_worker

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run_worker(settings, stop)
