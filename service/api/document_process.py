"""The process that makes reports, plots, comparisons and files: ``python -P -m radii.service.api.document_process FD REQUIRE_KEY``.

It is the same application as that of the process that started it, on a socket that it is given, and looks up keys itself.
It ends with its parent. See ``documents``.
"""

import os
import resource
import socket
import sys

from radii.worker import library_caches, logs
from radii.worker.processes import launch, memory_limit
from radii.worker.processes.parent_death import die_with_parent
from radii.worker.settings import Settings

MOST = 10**6
MEMORY = 4 * 2**30
"""Most bytes of memory of the process, and never more than a quarter of the machine's: a document that needs more fails alone."""
OF_ONE_TENANT = 2
"""Requests of one tenant that are worked on at a time: a file of rows does not wait for a report."""
NICENESS = 5
"""Below the process that answers everything else, which is never to wait for a document."""


def running_of_one_tenant(settings: Settings) -> int:
    """How many requests of one tenant are worked on at a time: what the operator allows, and ``OF_ONE_TENANT`` at least, as long
    as others keep a share."""
    return min(max(OF_ONE_TENANT, settings.tenant_running_requests), settings.running_requests - 1)


def main() -> None:
    """Serves until it is ended."""
    die_with_parent()
    os.nice(NICENESS)
    launch.protect()
    descriptor, require_key = (int(given) for given in sys.argv[1:])
    settings = Settings()
    logs.configure(settings)
    library_caches.keep_in(settings)  # before matplotlib is imported
    memory = min(MEMORY, memory_limit.total() // 4)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    import uvicorn

    from radii.service.api.app import create_app
    from radii.service.api.garbage_collection import freeze_loaded_objects
    from radii.service.limits.connections import MOST_HEAD

    # Clients are limited by the other process; here they all come from one address.
    limits = {
        "address_connections": MOST,
        "tenant_requests": MOST,
        "tenant_running_requests": running_of_one_tenant(settings),
    }
    app = create_app(settings.model_copy(update=limits), require_key=bool(require_key), shown=False)
    freeze_loaded_objects()
    config = uvicorn.Config(
        app,
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=3600,
        h11_max_incomplete_event_size=2 * MOST_HEAD,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    main()
