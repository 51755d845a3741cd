"""Whether a model is judged on what it was trained on: certified accuracy there says little about other images.

A checkpoint of ours says which data set it was trained on, by the hash of its content, and which inputs of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from radii.rs_core.specs.composition import singles
from radii.rs_core.specs.jobs import Selection


def trained_on(info: Mapping[str, Any] | None, content_hash: str | None, count: int, chosen: Sequence[int]) -> int:
    """How many of the ``chosen`` inputs of a data set of ``count`` the model was trained on; 0 where nothing is known.

    ``info`` is a :class:`~radii.rs_core.checkpoints.checkpoint_info.CheckpointInfo` as JSON; of a composite, any of its parts counts, and a mixing
    network's own training.
    """
    if not info or content_hash is None:
        return 0
    trainings = [
        Selection(**((known.get("provenance") or {}).get("spec") or {}).get("inputs") or {}).indices(count)
        for known in (info, *singles(info))
        if known.get("dataset_hash") == content_hash
    ]
    return sum(any(index in training for training in trainings) for index in chosen)


def training_note(seen: int, inputs: int) -> tuple[str, ...]:
    """The note of a report on ``inputs``, of which the model was trained on ``seen``; none where that is 0."""
    if not seen:
        return ()
    which = "These inputs" if seen == inputs else f"{seen:,} of these {inputs:,} inputs"
    return (f"{which} were in the model's training set: expect less on images that it has not seen.",)
