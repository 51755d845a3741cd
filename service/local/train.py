"""A local training run: data from files, ``radii.rs_core.training.loop`` in between, snapshots and the checkpoint into files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from radii.service.console import CommandError, bar, note, say, stoppable, warn
from radii.service.local.architecture_plugins import use_registered
from radii.service.local.flag_checks import check_flags

if TYPE_CHECKING:
    import torch

    from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
    from radii.rs_core.data.dataset import Dataset
    from radii.rs_core.models.base_classifier import BaseClassifier
    from radii.rs_core.soft_labels.labels import SoftLabels
    from radii.rs_core.specs.jobs import TrainSpec
    from radii.rs_core.training.loop import EpochRecord, TrainingResult
    from radii.rs_core.training.snapshots import Snapshot


def run(spec: "TrainSpec", out: Path, *, device: str, threads: int | None) -> None:
    """Trains to the end, from the snapshot beside ``out`` where there is one, and writes the checkpoint."""
    check_flags(device=device, checkpoint=spec.start_from)
    import torch

    from radii.rs_core.results.plausibility import too_few_samples
    from radii.rs_core.training.compatibility import check_training
    from radii.service.local.datasets import loaded
    from radii.worker.tasks.environment import configure, resolve_device

    use_registered()
    snapshot = out.with_name(out.name + ".snapshot")
    _check_out(out)
    data = loaded(spec.dataset)
    test_data = loaded(spec.test_dataset) if spec.test_dataset else None
    place = resolve_device(device)
    configure({"threads": threads or torch.get_num_threads()})
    out.parent.mkdir(parents=True, exist_ok=True)
    start, start_info = _start(spec, data) or (None, None)
    given: dict[str, Any] = {"test_data": test_data, "start": start}
    check_training(spec, data, test_data)
    warn(too_few_samples(spec, len(data), data.num_classes))
    given["soft_labels"] = _soft_labels(spec, data, out, place, start)
    beside = _learned_from(spec, given, out)
    trained = _train(spec, data, given, place, snapshot)
    _save(spec, data, trained, place, out, {"beside": beside, "start": start_info})
    snapshot.unlink(missing_ok=True)
    say(f"The checkpoint is in {out}{_which(spec, trained)}.")


def _at_chance(
    last: "EpochRecord | None", spec: "TrainSpec", data: "Dataset", test_data: "Dataset | None"
) -> "list[str]":
    """Whether the last epoch is no better than always giving the most frequent label, on test data where there are any."""
    from radii.rs_core.results.plausibility import implausible, outcome_of_shares

    if last is None:
        return []
    if test_data is not None and last.test_accuracy is not None:
        return list(implausible(outcome_of_shares(last.test_accuracy, test_data.labels.tolist())))
    chosen = data.labels[list(spec.inputs.indices(len(data)))]
    return list(implausible(outcome_of_shares(last.accuracy, chosen.tolist())))


def _start(spec: "TrainSpec", data: "Dataset") -> "tuple[BaseClassifier, CheckpointInfo] | None":
    """The model that training starts from, and its record, where the job names one."""
    from radii.rs_core.training.start_compatibility import check_start_of
    from radii.service.local.models import load_checkpoint

    if spec.start_from is None:
        return None
    model, info = load_checkpoint(Path(spec.start_from), {})
    check_start_of(spec, info, data)
    return model, info


def _soft_labels(
    spec: "TrainSpec", data: "Dataset", out: Path, place: "torch.device", start: "BaseClassifier | None"
) -> "SoftLabels | None":
    """The votes that the method needs: read, or made first."""
    from radii.rs_core.methods.registry import method
    from radii.service.local.soft_labels import ensure

    return ensure(spec, data, out, place, run, start) if method(spec.method.name).needs_soft_labels else None


def _learned_from(spec: "TrainSpec", given: dict[str, Any], out: Path) -> dict[str, Any]:
    """What the checkpoint says of what training had beside its data."""
    from radii.rs_core.runs.train import learned_from
    from radii.service.local.soft_labels import file_of, hash_of

    labels = given["soft_labels"]
    return learned_from(labels, None if labels is None else hash_of(file_of(spec, out)), given["start"])


def _train(
    spec: "TrainSpec", data: "Dataset", given: dict[str, Any], place: "torch.device", snapshot: Path
) -> "TrainingResult":
    """``given`` is what ``train`` takes beside the data."""
    from radii.rs_core.errors import InvalidCheckpoint

    def stopped() -> str:
        kept = "goes on from its last snapshot" if snapshot.exists() else "begins anew"
        return f"Stopped; the same command {kept}."

    full = "The device's memory is full: give --forward-batch, which changes no result, or a smaller --batch-size."
    try:
        with stoppable(stopped, full):
            return _loop(spec, data, given, place, snapshot)
    except InvalidCheckpoint as error:
        raise CommandError(f"{error} Choose another --out, or remove {snapshot} to begin anew.") from None


def _loop(
    spec: "TrainSpec", data: "Dataset", given: dict[str, Any], place: "torch.device", snapshot: Path
) -> "TrainingResult":
    from radii.rs_core.training.loop import EpochRecord, StepRecord, train
    from radii.rs_core.training.snapshots import Snapshot

    last: EpochRecord | None = None
    resume = snapshot if snapshot.exists() else None
    if resume:
        note(f"Going on from {snapshot}.")
    with bar("train") as progress:
        for record in train(spec, data, **given, device=place, resume=resume):
            if isinstance(record, StepRecord):
                progress.show(record.done, record.total, f"epoch {record.epoch + 1}, loss {record.loss:.4f}")
            elif isinstance(record, EpochRecord):
                last = record
                say(_epoch(record, spec))
            elif isinstance(record, Snapshot):
                _keep(record, snapshot)
            else:
                warn(_at_chance(last, spec, data, given["test_data"]))
                return record
    raise AssertionError("training ended without its last record")


def _epoch(record: "EpochRecord", spec: "TrainSpec") -> str:
    test = "" if record.test_accuracy is None else f", test accuracy {100 * record.test_accuracy:.2f} %"
    certified = record.certification
    acr = "" if certified is None else f", ACR {certified['acr']:.4f} on {certified['inputs']:,} test inputs"
    seen = "accuracy in training" if spec.sigma is None else "accuracy under noise"
    return (
        f"epoch {record.epoch + 1} of {spec.epochs}: loss {record.loss:.4f}, "
        f"{seen} {100 * record.accuracy:.2f} %{test}{acr}"
    )


def _keep(record: "Snapshot", path: Path) -> None:
    """Replaces the last snapshot by this one, whole at every moment."""
    part = path.with_name(path.name + ".part")
    record.save(part)
    part.replace(path)


def _save(
    spec: "TrainSpec",
    data: "Dataset",
    trained: "TrainingResult",
    place: "torch.device",
    out: Path,
    known: dict[str, Any],
) -> None:
    """``known`` is what the checkpoint's record takes beside."""
    from radii.rs_core.checkpoints import checkpoint
    from radii.rs_core.runs.train import checkpoint_info
    from radii.worker.tasks.environment import provenance

    info = checkpoint_info(spec, data, trained, provenance(place), **known)
    part = out.with_name(out.name + ".part")
    checkpoint.save(trained.model, info, part)
    part.replace(out)


def _which(spec: "TrainSpec", trained: "TrainingResult") -> str:
    """Which epoch's weights were kept, where it was a choice."""
    return "" if spec.keep == "last" else f", with the weights after epoch {trained.epoch} of {trained.epochs}"


def _check_out(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise CommandError(f"--out must end in .safetensors, got {str(out)!r}.")
    if out.exists():
        raise CommandError(f"The file {out} exists: choose another --out, or remove it.")
