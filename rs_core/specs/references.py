"""The fields of a specification that do not say what is computed: names of things, and what changes no result.

A name stands for something that may move, be uploaded again or be called otherwise; whoever compares two specifications
compares what the names stand for beside their :func:`settings`. Needs no torch.
"""

from collections.abc import Mapping
from typing import Any

REFERENCES = ("dataset", "test_dataset", "checkpoint", "start_from")
"""Fields that name a data set or a checkpoint."""

METHOD_REFERENCES = ("soft_labels", "soft_label_checkpoint")
"""The same among the fields of a method."""

WITHOUT_EFFECT = ("loader_processes",)
"""Fields that say how the work is done; the result is bit-equal whatever they are."""


def settings(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of a specification, as ``dump_spec`` gives it, without these fields."""
    kept = {name: value for name, value in body.items() if name not in (*REFERENCES, *WITHOUT_EFFECT)}
    if isinstance(kept.get("method"), Mapping):
        kept["method"] = {name: value for name, value in kept["method"].items() if name not in METHOD_REFERENCES}
    return kept
