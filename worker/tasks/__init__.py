"""What a child does, one file per kind of job: ``run(task)`` yields messages, the last of them ``done``."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

RUNNERS = {
    "certify": "radii.worker.tasks.certify",
    "predict": "radii.worker.tasks.predict",
    "soft_labels": "radii.worker.tasks.soft_labels",
    "train": "radii.worker.tasks.train",
    "verify": "radii.worker.tasks.verify",
    "evaluate": "radii.worker.tasks.evaluate",
    "convert": "radii.worker.tasks.convert",
}


def runner(kind: str) -> Callable[[Any], Iterator[dict[str, Any]]]:
    """The function of a kind of job; its module is imported on use."""
    function: Callable[[Any], Iterator[dict[str, Any]]] = import_module(RUNNERS[kind]).run
    return function
