"""What a child does, one file per kind of job: ``run(task)`` yields messages, the last of them ``done``."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

RUNNERS = {
    "certify": "worker.run.certify",
    "predict": "worker.run.predict",
    "soft_labels": "worker.run.soft_labels",
    "train": "worker.run.train",
    "verify": "worker.run.verify",
    "evaluate": "worker.run.evaluate",
    "convert": "worker.run.convert",
}


def runner(kind: str) -> Callable[[Any], Iterator[dict[str, Any]]]:
    """The function of a kind of job; its module is imported on use."""
    function: Callable[[Any], Iterator[dict[str, Any]]] = import_module(RUNNERS[kind]).run
    return function
