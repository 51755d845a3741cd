"""A local training run: data from files, the library's runner over them, snapshots and the checkpoint into files."""

from pathlib import Path
from typing import TYPE_CHECKING

from radii.service.console import CommandError, bar, note, say, stoppable, warn
from radii.service.local.architecture_plugins import use_registered
from radii.service.local.flag_checks import check_flags

if TYPE_CHECKING:
    from radii.rs_core.runs.train import TrainRun
    from radii.rs_core.specs.jobs import TrainSpec
    from radii.rs_core.training.records import EpochRecord, TrainingResult
    from radii.rs_core.training.snapshots import Snapshot


def run(spec: "TrainSpec", out: Path, *, device: str, threads: int | None) -> None:
    """Trains to the end, from the snapshot beside ``out`` where there is one, and writes the checkpoint."""
    check_flags(device=device, checkpoint=spec.start_from)
    import torch

    from radii.rs_core.results.plausibility import too_few_samples
    from radii.rs_core.runs.train import TrainRun
    from radii.rs_core.training.compatibility import check_training
    from radii.service.local.datasets import loaded
    from radii.service.local.models import load_checkpoint
    from radii.worker.tasks.environment import configure, resolve_device

    use_registered()
    _check_out(out)
    data = loaded(spec.dataset)
    test_data = loaded(spec.test_dataset) if spec.test_dataset else None
    place = resolve_device(device)
    configure({"threads": threads or torch.get_num_threads()})
    out.parent.mkdir(parents=True, exist_ok=True)
    start = load_checkpoint(Path(spec.start_from), {}) if spec.start_from is not None else None
    training = TrainRun(spec=spec, data=data, test_data=test_data, start=start, device=place)
    check_training(spec, data, test_data)
    warn(too_few_samples(spec, len(data), data.num_classes))
    _add_soft_labels(training, out)
    snapshot = out.with_name(out.name + ".snapshot")
    trained = _trained(training, snapshot)
    _save(training, trained, out)
    snapshot.unlink(missing_ok=True)
    say(f"The checkpoint is in {out}{_which(spec, trained)}.")


def _at_chance(last: "EpochRecord | None", training: "TrainRun") -> list[str]:
    """Whether the last epoch is no better than always giving the most frequent label, on test data where there are any."""
    from radii.rs_core.results.plausibility import implausible, outcome_of_shares

    if last is None:
        return []
    if training.test_data is not None and last.test_accuracy is not None:
        return list(implausible(outcome_of_shares(last.test_accuracy, training.test_data.labels.tolist())))
    data = training.data
    chosen = data.labels[list(training.spec.inputs.indices(len(data)))]
    return list(implausible(outcome_of_shares(last.accuracy, chosen.tolist())))


def _add_soft_labels(training: "TrainRun", out: Path) -> None:
    """The votes that the method needs: read, or made first."""
    from radii.rs_core.methods.registry import method
    from radii.service.local.opened_run import sha256_of
    from radii.service.local.soft_labels import ensure, file_of

    spec = training.spec
    if not method(spec.method.name).needs_soft_labels:
        return
    start = None if training.start is None else training.start[0]
    training.soft_labels = ensure(spec, training.data, out, training.device, run, start)
    training.soft_labels_sha256 = sha256_of(file_of(spec, out))


def _trained(training: "TrainRun", snapshot: Path) -> "TrainingResult":
    """Trains to the end, from the snapshot where there is one; says what to do where that cannot be."""
    from radii.rs_core.errors import InvalidCheckpoint

    def stopped() -> str:
        kept = "goes on from its last snapshot" if snapshot.exists() else "begins anew"
        return f"Stopped; the same command {kept}."

    full = "The device's memory is full: give --forward-batch, which changes no result, or a smaller --batch-size."
    if snapshot.exists():
        training.resume = snapshot
        note(f"Going on from {snapshot}.")
    try:
        with stoppable(stopped, full):
            return _loop(training, snapshot)
    except InvalidCheckpoint as error:
        raise CommandError(f"{error} Choose another --out, or remove {snapshot} to begin anew.") from None


def _loop(training: "TrainRun", snapshot: Path) -> "TrainingResult":
    from radii.rs_core.training.records import EpochRecord, StepRecord
    from radii.rs_core.training.snapshots import Snapshot

    last: EpochRecord | None = None
    with bar("train") as progress:
        for record in training.records():
            if isinstance(record, StepRecord):
                progress.show(record.done, record.total, f"epoch {record.epoch + 1}, loss {record.loss:.4f}")
            elif isinstance(record, EpochRecord):
                last = record
                say(_epoch(record, training.spec))
            elif isinstance(record, Snapshot):
                _keep(record, snapshot)
            else:
                warn(_at_chance(last, training))
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


def _save(training: "TrainRun", trained: "TrainingResult", out: Path) -> None:
    from radii.rs_core.checkpoints import checkpoint
    from radii.worker.tasks.environment import provenance

    info = training.checkpoint_info(trained, provenance(training.device))
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
