"""The soft labels of a local CAT-RS training: read, or voted by a classifier that is read or trained first.

What is made stands beside the checkpoint, ``OUT.voter.safetensors`` and ``OUT.soft-labels.safetensors``, and is used
again where it is what the command asks for. Votes go into ``OUT.soft-labels.ndjson`` input by input, so that a run that
was stopped goes on from there.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from radii.service.console import CommandError, bar, note, stoppable
from radii.service.local.opened_run import sha256_of

if TYPE_CHECKING:
    import torch

    from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
    from radii.rs_core.data.dataset import Dataset
    from radii.rs_core.models.base_classifier import BaseClassifier
    from radii.rs_core.records import Prediction
    from radii.rs_core.soft_labels.labels import SoftLabels
    from radii.rs_core.specs.jobs import SoftLabelSpec, TrainSpec


def ensure(
    spec: "TrainSpec",
    data: "Dataset",
    out: Path,
    place: "torch.device",
    train: Callable[..., None],
    start: "BaseClassifier | None" = None,
) -> "SoftLabels":
    """The soft labels that ``spec`` needs on ``data``; they are made if there are none yet.

    ``train`` trains the classifier that votes, as ``train.run`` does. ``start`` is the model that ``spec`` starts from;
    the classifier that votes starts from it, too.

    Raises :class:`CommandError` if a file next to ``out`` holds something else.
    """
    from radii.rs_core.soft_labels.labels import SoftLabels, vote_spec
    from radii.rs_core.specs.jobs import CatRs

    hp = spec.method
    assert isinstance(hp, CatRs)
    path = file_of(spec, out)
    if hp.soft_labels is not None:
        labels = SoftLabels.load(path)
        _check_data(labels, data, path)
    else:
        voter = (
            Path(hp.soft_label_checkpoint) if hp.soft_label_checkpoint else _voter(spec, data, out, place, train, start)
        )
        labels = _beside(vote_spec(spec, str(voter)), data, path, place)
    labels.require(spec.inputs.indices(len(data)), data.num_classes)
    return labels


def file_of(spec: "TrainSpec", out: Path) -> Path:
    """Where the votes of :func:`ensure` are."""
    from radii.rs_core.specs.jobs import CatRs

    assert isinstance(spec.method, CatRs)
    given = spec.method.soft_labels
    return Path(given) if given is not None else out.with_name(f"{out.stem}.soft-labels.safetensors")


def _beside(votes: "SoftLabelSpec", data: "Dataset", kept: Path, place: "torch.device") -> "SoftLabels":
    from radii.rs_core.soft_labels.labels import SoftLabels

    identity = _identity(votes, data)
    if not kept.exists():
        _vote(votes, data, identity, kept, place)
    labels = SoftLabels.load(kept)
    if labels.origin != identity:
        raise _other(kept, "soft labels", "votes")
    return labels


def _voter(
    spec: "TrainSpec",
    data: "Dataset",
    out: Path,
    place: "torch.device",
    train: Callable[..., None],
    start: "BaseClassifier | None",
) -> Path:
    """The checkpoint of the classifier that votes, trained where it is not there."""
    from radii.rs_core.checkpoints.checkpoint_info import read_info
    from radii.rs_core.data.dataset_file import content_hash
    from radii.rs_core.models.code_hash import network_of
    from radii.rs_core.soft_labels.labels import voter_spec
    from radii.rs_core.specs.jobs import dump_spec
    from radii.rs_core.specs.references import settings

    maker, path = voter_spec(spec), out.with_name(f"{out.stem}.voter.safetensors")
    if not path.exists():
        note(f"CAT-RS needs the votes of a classifier under noise {maker.sigma:g}: training it first.")
        train(maker, path, device=str(place), threads=None)
    info = read_info(path)
    same = settings(info.provenance.get("spec", {})) == settings(dump_spec(maker))
    same = same and info.provenance.get("network") == network_of(maker.architecture)
    if not same or info.dataset_hash != content_hash(data) or _began(info) != _weights(start):
        raise _other(path, "classifier", "a classifier")
    return path


def _began(info: "CheckpointInfo") -> str | None:
    """The fingerprint of the weights that a checkpoint's training started from, where it started from any."""
    start = info.provenance.get("start") or {}
    return start.get("weights") if isinstance(start, dict) else None


def _weights(start: "BaseClassifier | None") -> str | None:
    from radii.rs_core.training.initialization import fingerprint

    return None if start is None else fingerprint(start)


def _vote(votes: "SoftLabelSpec", data: "Dataset", identity: dict[str, Any], kept: Path, place: "torch.device") -> None:
    """Votes on every input that has none yet, and writes the file."""
    from radii.rs_core.certify.engine import Progress
    from radii.rs_core.runs import soft_labels
    from radii.rs_core.runs.noise_run import NoiseRun
    from radii.rs_core.soft_labels.labels import from_counts
    from radii.service.local.models import load_checkpoint

    chosen, partial = votes.inputs.indices(len(data)), kept.with_suffix(".ndjson")
    model, info = load_checkpoint(Path(votes.checkpoint), {})
    run = NoiseRun(spec=votes, model=model.to(place), num_classes=info.num_classes, data=data, chosen=chosen)
    with _opened(partial, identity) as (file, done), _stoppable(done, len(chosen)), bar("soft labels") as progress:
        run.done = dict.fromkeys(done, votes.n)
        for record in soft_labels.records(run):
            part = record.drawn / votes.n if isinstance(record, Progress) else 0.0
            if not isinstance(record, Progress):
                done[record.index] = _sparse(record)
                file.write(json.dumps([record.index, *done[record.index]]) + "\n")
                file.flush()
            progress.show(len(done) + part, len(chosen), f"{len(done):,} of {len(chosen):,} inputs")
    rows = (_dense(*done[index], data.num_classes) for index in chosen)
    part_file = kept.with_name(kept.name + ".part")
    from_counts(chosen, rows, data.num_classes, origin=identity).save(part_file)
    part_file.replace(kept)
    partial.unlink()


@contextmanager
def _opened(path: Path, identity: dict[str, Any]) -> Iterator[tuple[TextIO, dict[int, tuple[list[int], list[int]]]]]:
    """The file of a run that goes on, or of a new one, and the votes in it; a line that was cut is dropped."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    if lines and json.loads(lines[0]) != identity:
        raise _other(path, "votes", "votes")
    rows = [json.loads(line) for line in lines[1:]]
    part = path.with_name(path.name + ".part")
    part.write_bytes(b"\n".join(lines or [json.dumps(identity).encode()]) + b"\n")
    part.replace(path)
    with path.open("a", encoding="utf-8") as file:
        yield file, {index: (classes, counts) for index, classes, counts in rows}


def _stoppable(done: dict[int, Any], total: int) -> AbstractContextManager[None]:
    """Nothing that was done is lost."""
    if done:
        note(f"Going on: {len(done):,} of {total:,} inputs have their votes.")
    return stoppable(
        lambda: f"Stopped after the votes on {len(done):,} of {total:,} inputs; the same command goes on from there.",
        "The device's memory is full: it does not hold 100 noisy copies of an image.",
    )


def _identity(votes: "SoftLabelSpec", data: "Dataset") -> dict[str, Any]:
    """Everything that determines the votes."""
    from radii.rs_core.data.dataset_file import content_hash
    from radii.rs_core.specs.jobs import dump_spec

    return dump_spec(votes) | {"checkpoint": sha256_of(Path(votes.checkpoint)), "dataset": content_hash(data)}


def _check_data(labels: "SoftLabels", data: "Dataset", path: Path) -> None:
    from radii.rs_core.data.dataset_file import content_hash
    from radii.rs_core.errors import Mismatch

    known = labels.origin.get("dataset")
    if known is not None and known != content_hash(data):
        raise Mismatch(expected="votes on the training set", got=f"votes on another one in {path}", where="method")


def _sparse(record: "Prediction") -> tuple[list[int], list[int]]:
    """Classes with votes, and their counts."""
    classes = [number for number, count in enumerate(record.counts) if count]
    return classes, [record.counts[number] for number in classes]


def _dense(classes: list[int], counts: list[int], num_classes: int) -> list[int]:
    row = [0] * num_classes
    for number, count in zip(classes, counts, strict=True):
        row[number] = count
    return row


def _other(path: Path, what: str, word: str) -> CommandError:
    return CommandError(f"{path} holds {word} of another run: choose another --out, or remove it for new {what}.")
