"""A local run on chosen inputs: model and data from files, checked, and how they are run."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from radii.service.console import bar, note, stoppable, warn
from radii.service.local import results as files
from radii.service.local.architecture_plugins import use_registered
from radii.service.local.flag_checks import check_flags

if TYPE_CHECKING:
    import torch

    from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
    from radii.rs_core.data.dataset import Dataset
    from radii.rs_core.models.base_classifier import BaseClassifier
    from radii.rs_core.runs.noise_run import NoiseRun
    from radii.rs_core.specs.jobs import NoiseJob

S = TypeVar("S", bound="NoiseJob")


@dataclass(frozen=True, kw_only=True)
class OpenedRun(Generic[S]):
    """What a run is made of, the record of its model, and what tells it from other runs (``identity``)."""

    run: "NoiseRun[S]"
    info: "CheckpointInfo"
    execution: dict[str, Any]
    identity: dict[str, Any]

    def say_where(self, out: Path) -> None:
        """Where the results are."""
        note(f"Results are in {out}, with all votes in {files.sidecar(out, '.ndjson')}.")


def open_run(spec: S, out: Path, *, device: str, threads: int | None, hints: Mapping[str, str | None]) -> OpenedRun[S]:
    """Reads the files that ``spec`` names, and goes on as the run whose results are in ``out`` was run, where there is one."""
    run, info = run_of(spec, device=device, hints=hints)
    from radii.rs_core.data.corruption_info import to_json
    from radii.rs_core.data.dataset_file import content_hash
    from radii.rs_core.results.plausibility import too_few_samples
    from radii.worker.tasks.environment import configure, provenance, resolve_device

    spec, data, chosen = run.spec, run.data, run.chosen
    warn(too_few_samples(spec, len(chosen), data.num_classes))
    place = resolve_device(device)
    execution = execution_of(spec, files.read_run(out), place, threads)
    configure(execution)
    run.batch_size, run.compiled = execution["batch_size"], bool(execution.get("compiled"))
    identity = {
        "spec": comparable(spec),
        "checkpoint": sha256_of(Path(spec.checkpoint)),
        "dataset": content_hash(data),
        "execution": execution,
        "files": {"checkpoint": spec.checkpoint, "dataset": spec.dataset},
        "inputs": len(chosen),
        "class_names": list(data.class_names),
        "count": len(data),
        "corrupted": None if data.corrupted is None else to_json(data.corrupted),
        "provenance": provenance(place),
    }
    return OpenedRun(run=run, info=info, execution=execution, identity=identity)


def run_of(spec: S, *, device: str, hints: Mapping[str, str | None]) -> "tuple[NoiseRun[S], CheckpointInfo]":
    """A run on the files that ``spec`` names, and the record of its model."""
    check_flags(device=device, hints=hints, checkpoint=spec.checkpoint)
    from radii.rs_core.runs.noise_run import NoiseRun
    from radii.rs_core.runs.resolution import chosen_inputs, resolve
    from radii.rs_core.specs.jobs import dump_spec
    from radii.worker.tasks.environment import resolve_device

    model, info, data = read_files(Path(spec.checkpoint), spec.dataset, hints)
    composition = None if info.composition is None else dump_spec(info.composition)
    spec = resolve(spec, info.sigma, composition, "the checkpoint")
    chosen = chosen_inputs(spec.inputs, len(data), f"the data set {spec.dataset}")
    model = model.to(resolve_device(device))
    return NoiseRun(spec=spec, model=model, num_classes=data.num_classes, data=data, chosen=chosen), info


def read_files(
    checkpoint: Path, dataset: str, hints: Mapping[str, str | None]
) -> "tuple[BaseClassifier, CheckpointInfo, Dataset]":
    """Model, its record, and data; raises :class:`Mismatch` where they do not fit together."""
    from radii.rs_core.checkpoints.checkpoint import check_fits
    from radii.service.local.datasets import loaded
    from radii.service.local.models import load_checkpoint

    use_registered()
    data = loaded(dataset)
    model, info = load_checkpoint(checkpoint, hints)
    check_fits(info, data)
    return model, info, data


def recorded(
    opened: OpenedRun[S], out: Path, lines: files.Lines, records: "Callable[[NoiseRun[S]], Iterator[Any]]"
) -> list[Any]:
    """The records of all inputs: those in the files of ``out``, and the runner's, each of which is stored before the next is
    asked for."""
    from radii.rs_core.certify.engine import Progress
    from radii.rs_core.evaluate.records import Heartbeat
    from radii.rs_core.runs.certify import TurnBegins

    run, turn = opened.run, 0
    total = len(run.chosen)
    with files.opened(out, opened.identity, lines) as results:
        _take_over(run, results)
        stopped = "Stopped after {:,} of {:,} inputs; the same command goes on from there."
        full = "The device's memory is full: give a smaller --batch-size and another --out."
        with stoppable(lambda: stopped.format(len(results.done), total), full), bar(run.spec.kind) as progress:
            for record in records(run):
                if isinstance(record, TurnBegins):
                    turn = record.turn
                    continue
                if isinstance(record, Progress):
                    if record.votes:
                        results.keep(record.body())
                elif not isinstance(record, Heartbeat):
                    results.add(record)
                done = results.done
                text = f"{len(done):,} of {total:,} inputs"
                progress.show(_share(run.spec, done, record), total, f"{text}, turn {turn + 1}" if turn else text)
        return results.done


def _take_over(run: "NoiseRun[Any]", results: files.Results) -> None:
    """The run goes on from these results, and says so."""
    from radii.rs_core.certify.engine import Progress
    from radii.rs_core.records import Certificate
    from radii.rs_core.runs.certify import votes_of

    begun: dict[int, Progress] = {
        record.index: votes_of(record)
        for record in results.done
        if isinstance(record, Certificate) and record.sampling == "anytime"
    }
    run.unfinished = [*(begun | {body["index"]: Progress.of(body) for body in results.unfinished()}).values()]
    run.done = {record.index: getattr(record, "n", 0) for record in results.done}
    if run.done:
        note(f"Going on: {len(run.done):,} of {len(run.chosen):,} inputs have their result.")


def _share(spec: "NoiseJob", done: Sequence[Any], record: Any) -> float:
    """Inputs that are done, with the part of the one that ``record`` is progress on."""
    if spec.sampling == "anytime":  # after the first turn every input has a record, of fewer samples than n
        return float(sum(each.n0 + each.n for each in done) / spec.samples)
    return len(done) + (getattr(record, "drawn", 0) / spec.samples if spec.samples else 0.0)


def execution_of(
    spec: "NoiseJob", known: Mapping[str, Any] | None, place: "torch.device", threads: int | None
) -> dict[str, Any]:
    """What counts depend on beside the job: fixed by the first run, and taken over by those that go on with it."""
    import torch

    from radii.rs_core.certify.sampler import whole_parts

    before = (known or {}).get("execution") or {}
    return before | {
        "batch_size": whole_parts(spec.batch_size) if spec.batch_size else before.get("batch_size"),
        "threads": threads or before.get("threads") or torch.get_num_threads(),
        "device_type": place.type,
    }


def comparable(spec: "NoiseJob") -> dict[str, Any]:
    """What of a specification tells runs apart."""
    from radii.rs_core.specs.jobs import dump_spec

    body = dump_spec(spec)
    if "evaluation" in body:
        body["evaluation"].pop("certificates", None)  # no row depends on it
    return {name: value for name, value in body.items() if name not in ("checkpoint", "dataset", "batch_size")}


def sha256_of(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
