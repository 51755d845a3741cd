"""Wakes workers for ready shards: by Celery over Redis where a broker is configured, else by ``fifo``.

A message is a wake-up and carries no data: it is acknowledged early and has no arguments and no result. A lost message costs one round
of housekeeping; a message too many finds nothing to do. ``radii.worker.celery_worker`` receives the messages.
"""

import contextlib
import logging
from functools import lru_cache

import celery.utils.imports as celery_imports
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from radii.worker.queue import fifo
from radii.worker.settings import Settings

log = logging.getLogger("radii.broker")

# Celery puts the working directory first on the path while it imports its own modules; nothing of radii is there.
celery_imports.cwd_in_path = contextlib.nullcontext

TASK = "radii.work"
AWAY = (OperationalError, RedisError, OSError)
"""What a broker that is away, or goes away meanwhile, raises: kombu lets some of Redis' own errors through."""
AT_ONCE = {"max_retries": 1, "interval_start": 0.1, "interval_step": 0.0}
"""Retries of a connection that a request waits for: one, at once, since the message is not essential."""
MAX_WAKEUPS = 64
"""Wake-up messages in the queue, at most: a worker that is awake works until nothing is ready."""


@lru_cache(maxsize=4)
def app(url: str, queue: str) -> Celery:
    """The Celery application of a broker; every key there begins with ``queue``."""
    celery = Celery("radii", broker=url)
    celery.conf.update(
        task_ignore_result=True,
        task_acks_late=False,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_soft_shutdown_timeout=30.0,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=2.0,
        broker_transport_options={
            "global_keyprefix": f"{queue}:",
            "socket_timeout": 5.0,
            "socket_connect_timeout": 2.0,
            "retry_on_timeout": True,
        },
        task_default_queue="radii",
        enable_utc=True,
    )
    return celery


def is_reachable(settings: Settings) -> bool:
    """Whether the configured broker can be reached."""
    assert settings.broker_url is not None
    try:
        with app(settings.broker_url, settings.queue).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.1, timeout=2)
            return bool(connection.connected)
    except AWAY:
        return False


def wake_workers(settings: Settings, count: int = 1) -> None:
    """Wakes up to ``count`` workers after a commit. A broker that cannot be reached is no error: housekeeping tries again."""
    if count < 1:
        return
    if settings.broker_url is None:
        fifo.wake(settings.data, min(count, MAX_WAKEUPS))
        return
    try:
        celery = app(settings.broker_url, settings.queue)
        with celery.connection_for_write(transport_options=AT_ONCE) as connection:
            queued = connection.default_channel.queue_declare("radii").message_count
            for _ in range(min(count, MAX_WAKEUPS) - queued):
                celery.send_task(TASK, retry=False, ignore_result=True, connection=connection)
    except AWAY as error:
        log.warning("the broker cannot be reached; housekeeping tries again", extra={"error": str(error)[:300]})
