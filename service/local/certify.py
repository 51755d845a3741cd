"""A local certify or predict run: model and data from files, ``rs_core`` over them, results into files as they come."""

import hashlib
import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from radii.service.console import bar, note, say, stoppable, warn
from radii.service.local import results as files
from radii.service.local.architecture_plugins import use_registered
from radii.service.local.flag_checks import check_flags
from radii.service.local.prediction_summary import predictions_table, predictions_tsv

if TYPE_CHECKING:
    import torch

    from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
    from radii.rs_core.data.dataset import Dataset
    from radii.rs_core.models.base_classifier import BaseClassifier
    from radii.rs_core.specs.fields import Bound
    from radii.rs_core.specs.jobs import CertifySpec, EvaluateSpec, PredictSpec

    Spec = CertifySpec | PredictSpec
    S = TypeVar("S", bound=CertifySpec | PredictSpec | EvaluateSpec)

CONVERT_SECONDS, CONVERT_MEMORY = 600.0, 16 * 2**30


def run(spec: "Spec", out: Path, *, device: str, threads: int | None, hints: Mapping[str, str | None]) -> None:
    """Certifies or predicts the chosen inputs that have no result in ``out`` yet, then prints what they come to."""
    check_flags(device=device, hints=hints, checkpoint=spec.checkpoint)
    from radii.rs_core.checkpoints.checkpoint import check_fits
    from radii.rs_core.checkpoints.training_overlap import trained_on, training_note
    from radii.rs_core.data.corruption_info import to_json
    from radii.rs_core.data.dataset_file import content_hash
    from radii.rs_core.results.plausibility import too_few_samples
    from radii.rs_core.results.tsv import tsv_lines
    from radii.rs_core.specs.jobs import dump_spec
    from radii.service.local.datasets import loaded
    from radii.worker.tasks.environment import configure, provenance, resolve_device

    use_registered()
    data = loaded(spec.dataset)
    model, info = load_checkpoint(Path(spec.checkpoint), hints)
    check_fits(info, data)
    spec, chosen = resolved(spec, info), chosen_of(spec, data)
    warn(too_few_samples(spec, len(chosen), data.num_classes))
    place = resolve_device(device)
    execution = execution_of(spec, files.read_run(out), place, threads)
    configure(execution)
    model = model.to(place)
    if "compiled" not in execution:
        execution |= _configuration(spec, model, data, chosen)
    identity = {
        "spec": comparable(spec),
        "checkpoint": sha256_of(Path(spec.checkpoint)),
        "dataset": content_hash(data),
        "execution": execution,
        "files": {"checkpoint": spec.checkpoint, "dataset": spec.dataset},
        "inputs": len(chosen),
        "class_names": list(data.class_names),
        "shape": list(data.images.shape[1:]),
        "count": len(data),
        "corrupted": None if data.corrupted is None else to_json(data.corrupted),
        "provenance": provenance(place),
    }
    lines = tsv_lines if spec.kind == "certify" else predictions_tsv
    with files.opened(out, identity, lines) as results:
        _measure(spec, model, data, chosen, execution, results)
        done = results.done
    say(_summary(spec, data, done, len(chosen)))
    seen = trained_on(dump_spec(info), content_hash(data), len(data), chosen)
    for sentence in training_note(seen, len(chosen)):
        note(sentence)
    note(f"Results are in {out}, with all votes in {files.sidecar(out, '.ndjson')}.")


def load_checkpoint(path: Path, hints: Mapping[str, str | None]) -> "tuple[BaseClassifier, CheckpointInfo]":
    """The model in a checkpoint of ours, or in a file of another kind, which is converted first."""
    from radii.rs_core.checkpoints import checkpoint

    with ours(path, hints) as readable:
        return checkpoint.load(readable)


@contextmanager
def ours(path: Path, hints: Mapping[str, str | None]) -> Iterator[Path]:
    """The file, where it is a checkpoint of ours that says it all; else, while the block lasts, what it is converted to."""
    from radii.rs_core.errors import InvalidCheckpoint
    from radii.rs_core.models import registry
    from radii.rs_core.safetensors_header import is_tensorfile, read_header
    from radii.worker.sandbox.converter import convert

    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing there"
        raise InvalidCheckpoint(expected="a file", got=found, where=str(path))
    given = {name: value for name, value in hints.items() if value is not None}
    if not given and is_tensorfile(path) and read_header(path, InvalidCheckpoint).ours() is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="radii-") as folder:
        out = Path(folder) / "converted.safetensors"
        known = {"architectures": registry.registered_file(), **given}
        request = {"what": "checkpoint", "files": {path.name: str(path)}, "out": str(out), **known}
        convert(request, seconds=CONVERT_SECONDS, memory=CONVERT_MEMORY)
        yield out


def _measure(
    spec: "Spec",
    model: "BaseClassifier",
    data: "Dataset",
    chosen: range,
    execution: Mapping[str, Any],
    results: files.Results,
) -> None:
    """The engine over what is left, every record stored before the next is asked for."""
    from radii.rs_core.certify.engine import Progress
    from radii.rs_core.certify.mixed_inputs import standard_of, voting
    from radii.rs_core.certify.sampler import Sampler
    from radii.service.local.pending_inputs import PendingInputs

    assert spec.sigma is not None
    bound: Bound = getattr(spec, "bound", "one_sided")
    sampler = Sampler(
        voting(model, bound),
        spec.sigma,
        data.num_classes,
        seed=spec.seed,
        batch_size=execution["batch_size"],
        compiled=execution["compiled"],
        precision=getattr(spec, "precision", "fp32"),
        noise=getattr(spec, "noise", "gaussian"),
    )
    left = PendingInputs(
        standard=standard_of(model, bound), spec=spec, sampler=sampler, data=data, chosen=chosen, results=results
    )
    left.say_what_there_is()
    with _stoppable(results, len(chosen)), bar(spec.kind) as progress:
        for record in left.records():
            if not isinstance(record, Progress):
                results.add(record)
            elif record.votes:
                results.keep(record.body())
            progress.show(left.share(record), len(chosen), left.text())


def _stoppable(results: files.Results, total: int) -> AbstractContextManager[None]:
    """Nothing that was done is lost."""
    return stoppable(
        lambda: f"Stopped after {len(results.done):,} of {total:,} inputs; the same command goes on from there.",
        "The device's memory is full: give a smaller --batch-size and another --out.",
    )


def resolved(spec: "S", info: "CheckpointInfo") -> "S":
    """The same with a noise level and, of a mix that is certified as one, with a weight: its own, else the checkpoint's."""
    from radii.rs_core.errors import InvalidSpec
    from radii.rs_core.specs.composition import mixed_weight
    from radii.rs_core.specs.jobs import CertifySpec, dump_spec

    sigma = spec.sigma if spec.sigma is not None else info.sigma
    if sigma is None:
        wanted = "a noise level, since the checkpoint does not say with which one it was trained"
        raise InvalidSpec(expected=wanted, got="none", where="sigma")
    spec = replace(spec, sigma=sigma)
    if isinstance(spec, CertifySpec) and spec.bound == "mixed":
        composition = None if info.composition is None else dump_spec(info.composition)
        spec = replace(spec, robust_weight=mixed_weight(spec.robust_weight, composition, "the checkpoint"))
    return spec


def chosen_of(spec: "Spec | EvaluateSpec", data: "Dataset") -> range:
    """The indices that a run looks at; raises :class:`InvalidSpec` where there are none."""
    from radii.rs_core.errors import InvalidSpec

    chosen = spec.inputs.indices(len(data))
    if not chosen:
        wanted = f"at least one input of a data set of {len(data):,}"
        raise InvalidSpec(expected=wanted, got=f"none from index {spec.inputs.start} on", where="inputs")
    return chosen


def execution_of(
    spec: "Spec | EvaluateSpec", known: Mapping[str, Any] | None, place: "torch.device", threads: int | None
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


def _configuration(spec: "Spec", model: "BaseClassifier", data: "Dataset", chosen: range) -> dict[str, Any]:
    """How to run the model: as was found on this machine before, or as is found now."""
    import torch

    from radii.rs_core.certify.autotune import configuration_for
    from radii.rs_core.certify.mixed_inputs import voting
    from radii.rs_core.certify.procedure import USUAL_SAVING
    from radii.worker.settings import Settings

    configuration = configuration_for(
        voting(model, getattr(spec, "bound", "one_sided")),
        data.image(chosen[0]).to(next(model.parameters(), torch.empty(0)).device),
        data.num_classes,
        name=model.architecture,
        precision=getattr(spec, "precision", "fp32"),
        samples=round(len(chosen) * spec.n / USUAL_SAVING[getattr(spec, "sampling", "fixed")]),
        batch_size=spec.batch_size,
        may_compile=Settings().compile == "auto",
        file=Path.home() / ".cache" / "radii" / "tuning.json",
    )
    return {"batch_size": configuration.batch_size, "compiled": configuration.compiled}


def comparable(spec: "Spec | EvaluateSpec") -> dict[str, Any]:
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


def _summary(spec: "Spec", data: "Dataset", done: "list[Any]", total: int) -> str:
    from radii.rs_core.reports.certification_of_spec import summarize_asked
    from radii.rs_core.reports.certification_text import format_table
    from radii.rs_core.reports.corruptions import CorruptionGroups
    from radii.rs_core.specs.jobs import CertifySpec

    chosen = spec.inputs.indices(len(data))
    grouped = None if data.corrupted is None else CorruptionGroups(corrupted=data.corrupted, chosen=chosen)
    if not isinstance(spec, CertifySpec):
        return predictions_table(done, total, grouped)
    pixels = math.prod(data.images.shape[1:])
    report = summarize_asked(done, spec, total=total, class_names=data.class_names, pixels=pixels, grouped=grouped)
    return format_table(report).rstrip()
