"""The fields of a specification that do not affect results: names of other things, and options of the execution.

A name may be used for something else later, or the same thing may be uploaded again. To compare two specifications, compare what
their names refer to and their :func:`settings`. Needs no torch.
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
