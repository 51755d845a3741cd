"""A local evaluation: model and data from files, ``radii.rs_core.evaluate`` over them, what is found into files as it comes."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from radii.service.console import CommandError, say
from radii.service.local import results as files
from radii.service.local.opened_run import open_run, recorded

if TYPE_CHECKING:
    from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
    from radii.rs_core.records import Certificate
    from radii.rs_core.specs.jobs import Attack, EvaluateSpec


def run(spec: "EvaluateSpec", out: Path, *, device: str, threads: int | None, hints: Mapping[str, str | None]) -> None:
    """Evaluates the chosen inputs that have no row in ``out`` yet, then prints what they come to."""
    from radii.rs_core.evaluate.records import EvaluationRecord
    from radii.rs_core.reports.evaluation import summarize
    from radii.rs_core.reports.evaluation_text import format_table
    from radii.rs_core.results.codec import csv_lines
    from radii.rs_core.results.photographs import Photographs

    named = spec.compared_with
    path = None if named is None else Path(named)
    certificates = None if path is None else certificates_in(path)
    opened = open_run(spec, out, device=device, threads=threads, hints=hints)
    from radii.rs_core.runs import evaluate  # with torch, which a wrong flag does not wait for

    run, data, identity = opened.run, opened.run.data, opened.identity
    spec = run.spec
    identity["files"]["certificates"] = None if path is None else str(path.resolve())
    identity["robust_weight"] = _weight(spec, opened.info)
    if path is not None and certificates is not None:
        check_certificates(path, certificates, spec, identity, run.chosen)
    done = recorded(opened, out, partial(csv_lines, EvaluationRecord, separator="\t"), evaluate.records)
    shown = None if data.corrupted is None else Photographs(data.corrupted.starts, run.chosen)
    report = summarize(done, spec, total=len(run.chosen), certificates=certificates, photographs=shown)
    say(format_table(report).rstrip())
    opened.say_where(out)


def _weight(spec: "EvaluateSpec", info: "CheckpointInfo") -> float | None:
    """Of the robust classifier, where a mix is attacked as one."""
    from radii.rs_core.specs.composition import mixed_weight
    from radii.rs_core.specs.jobs import dump_spec

    if getattr(spec.evaluation, "target", None) != "mix":
        return None
    composition = None if info.composition is None else dump_spec(info.composition)
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
    path: Path,
    certificates: "Mapping[int, Certificate]",
    spec: "EvaluateSpec",
    identity: Mapping[str, Any],
    chosen: Sequence[int],
) -> None:
    """Refuses certificates of other inputs than the ``chosen`` ones, of another noise level or classifier and, as far as a file
    next to them says, of another model or data set."""
    from radii.rs_core.reports.evaluation import require_same_classifier, require_shared_inputs
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
    require_shared_inputs(chosen, certificates, str(path), "--certificates")
