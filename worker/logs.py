"""Logging: standard library, one line per record, as text or as JSON, with the ids that a record carries.

What is logged inside of ``about`` is about that job and shard, whoever logs it.
"""

import json
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from radii.worker.settings import Settings

NOISY = ("torch.utils.cpp_extension", "matplotlib.font_manager", "numba")
"""Loggers whose warnings tell nobody anything: that there is no GPU, that a cache is made."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


_about: ContextVar[dict[str, object]] = ContextVar("about", default={})  # noqa: B039 (it is never changed in place)


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Inside, every record of this thread carries these."""
    token = _about.set(_about.get() | ids)
    try:
        yield
    finally:
        _about.reset(token)


class JsonLines(logging.Formatter):
    """A record as one JSON object: time, level, logger, message, and whatever was given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        body = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **extra(record),
        }
        if record.exc_info:
            body["error"] = self.formatException(record.exc_info)
        return json.dumps(body, default=str)


class TextFormatter(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        more = "".join(f" {name}={value}" for name, value in extra(record).items())
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock} {record.levelname.lower():7} {record.name}: {record.getMessage()}{more}"
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def configure(settings: Settings) -> None:
    """Sends every record of radii from level INFO, and warnings of everything else, to the standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    for name in list(root.manager.loggerDict):  # of libraries that write lines of their own
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("radii").setLevel(logging.INFO)
    sys.excepthook = lambda *error: logging.getLogger("radii").critical("ended by an error", exc_info=error)
    threading.excepthook = lambda args: logging.getLogger("radii").error(
        "a thread was ended by an error",
        exc_info=(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback),
    )


def extra(record: logging.LogRecord) -> dict[str, object]:
    """What the record is about, and what was given as ``extra``."""
    return _about.get() | {name: value for name, value in vars(record).items() if name not in _STANDARD}


def name_thread(name: str) -> None:
    """Names the present thread, for logs."""
    threading.current_thread().name = name
