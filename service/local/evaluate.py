"""A local evaluation: model and data from files, ``radii.rs_core.evaluate`` over them, what is found into files as it comes."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from radii.service.console import CommandError, bar, note, say, stoppable
from radii.service.local import results as files
from radii.service.local.opened_run import open_run, take_over

if TYPE_CHECKING:
    from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
    from radii.rs_core.records import Certificate
    from radii.rs_core.runs.noise_run import NoiseRun
    from radii.rs_core.specs.jobs import Attack, EvaluateSpec


def run(spec: "EvaluateSpec", out: Path, *, device: str, threads: int | None, hints: Mapping[str, str | None]) -> None:
    """Evaluates the chosen inputs that have no row in ``out`` yet, then prints what they come to."""
    from radii.rs_core.evaluate.records import EvaluationRecord
    from radii.rs_core.reports.evaluation import require_shared_inputs, summarize
    from radii.rs_core.reports.evaluation_text import format_table
    from radii.rs_core.results.codec import csv_lines
    from radii.rs_core.results.photographs import Photographs
    from radii.rs_core.specs.jobs import EvaluateSpec

    certificates = certificates_of(spec)
    opened = open_run(spec, out, device=device, threads=threads, hints=hints)
    run, data = opened.run, opened.run.data
    assert isinstance(run.spec, EvaluateSpec)
    spec = run.spec
    named = opened.identity["files"] | {"certificates": _file_of(spec)}
    identity = opened.identity | {"files": named, "robust_weight": _weight(spec, opened.info)}
    if certificates is not None:
        path = Path(str(getattr(spec.evaluation, "certificates", "")))
        check_certificates(path, certificates, spec, identity)
        require_shared_inputs(run.chosen, certificates, str(path), "--certificates")
    with files.opened(out, identity, partial(csv_lines, EvaluationRecord, separator="\t")) as results:
        _measure(run, results)
        done: list[Any] = results.done
    shown = None if data.corrupted is None else Photographs(data.corrupted.starts, run.chosen)
    report = summarize(done, spec, total=len(run.chosen), certificates=certificates, photographs=shown)
    say(format_table(report).rstrip())
    note(f"Results are in {out}, with all votes in {files.sidecar(out, '.ndjson')}.")


def certificates_of(spec: "EvaluateSpec") -> "dict[int, Certificate] | None":
    """The certificates that an attack is to be held against, by index, out of their file."""
    path = getattr(spec.evaluation, "certificates", None)
    return None if path is None else certificates_in(Path(path))


def _file_of(spec: "EvaluateSpec") -> str | None:
    path = getattr(spec.evaluation, "certificates", None)
    return None if path is None else str(Path(path).resolve())


def _weight(spec: "EvaluateSpec", info: "CheckpointInfo") -> float | None:
    """Of the robust classifier, where a mix is attacked as one."""
    from radii.rs_core.specs.composition import Mixed, mixed_weight

    if getattr(spec.evaluation, "target", None) != "mix":
        return None
    mixed = info.composition if isinstance(info.composition, Mixed) else None
    composition = {} if mixed is None else {"kind": mixed.kind, "robust_weight": mixed.robust_weight}
    asked = getattr(spec.evaluation, "robust_weight", None)
    return mixed_weight(asked, composition, spec.checkpoint, "target = mix", "evaluation.target")


def certificates_in(path: Path) -> "dict[int, Certificate]":
    """Those of a run of ``radii certify``, by index."""
    from radii.rs_core.records import Certificate
    from radii.rs_core.results.ndjson import read_ndjson

    evidence = path.with_suffix(".ndjson")
    if not evidence.exists():
        raise CommandError(
            f"Expected results of `radii certify` as --certificates, the TSV with the .ndjson beside it; there is no {evidence}."
        )
    records = read_ndjson(evidence)
    if not isinstance(records[0], Certificate):
        raise CommandError(
            f"Expected results of `radii certify` as --certificates, got those of something else in {path}."
        )
    return {row.index: row for row in records if isinstance(row, Certificate)}


def check_certificates(
    path: Path, certificates: "Mapping[int, Certificate]", spec: "EvaluateSpec", identity: Mapping[str, Any]
) -> None:
    """Refuses certificates of another noise level or classifier and, as far as a file beside them says, of another model or
    data set."""
    from radii.rs_core.reports.evaluation import require_same_classifier
    from radii.rs_core.reports.procedure_text import made

    known = files.read_run(path) or {}
    for name in ("checkpoint", "dataset"):
        if known.get(name, identity[name]) != identity[name]:
            raise CommandError(f"Expected certificates of the same {name}, got those of another one in {path}.")
    other = {row.sigma for row in certificates.values()} - {spec.sigma}
    if other:
        raise CommandError(
            f"Expected certificates of sigma = {spec.sigma:g}, got {', '.join(f'{one:g}' for one in other)}."
        )
    composition = {"robust_weight": identity.get("robust_weight")}
    how = made(list(certificates.values()))
    require_same_classifier(cast("Attack", spec.evaluation), composition, how, str(path), "--certificates")


def _measure(run: "NoiseRun", results: files.Results) -> None:
    from radii.rs_core.evaluate.records import Heartbeat
    from radii.rs_core.runs import evaluate

    take_over(run, results)
    total = len(run.chosen)
    stopped = "Stopped after {:,} of {:,} inputs; the same command goes on from there."
    full = "The device's memory is full: give a smaller --batch-size and another --out."
    with stoppable(lambda: stopped.format(len(results.done), total), full), bar("evaluate") as progress:
        for record in evaluate.records(run):
            if not isinstance(record, Heartbeat):
                results.add(record)
            progress.show(len(results.done), total)
