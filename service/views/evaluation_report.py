"""Report of an evaluate job out of its rows, with model, data and machine, as JSON, CSV, HTML and a plot."""

import json
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from radii.rs_core.evaluate.registry import EVALUATIONS
from radii.rs_core.records import Certificate
from radii.rs_core.reports.evaluation import EvaluationReport, summarize
from radii.rs_core.specs.jobs import Attack, AutoAttack, EvaluateSpec, dump_spec
from radii.service.schemas import job_results
from radii.service.views import certification_report
from radii.service.views.certification_report import Sources
from radii.service.views.rendering import render
from radii.worker.store import certificate_rows, evaluation_rows
from radii.worker.store.models.tables import Job
from radii.worker.store.specifications import as_kind, shown

PROCEDURE = ("sigma", "evaluation", "seed")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was asked of what, and what has been found so far."""

    found: Sources
    spec: EvaluateSpec
    report: EvaluationReport


def evaluation(session: Session, found: Sources) -> Evaluation:
    """The rows of a job so far; none yet is an empty report."""
    job = found.job
    spec = as_kind(job.resolved, EvaluateSpec)
    rows = list(evaluation_rows.read(session, job.id))
    certificates = _certificates(session, spec, [row.index for row in rows])
    shown = certification_report.photographs(found)
    report = summarize(rows, spec, total=found.summary.total, certificates=certificates, photographs=shown)
    if certificates is None and isinstance(spec.evaluation, Attack) and spec.evaluation.certificates is not None:
        gone = (
            f"The job of the certificates, {spec.evaluation.certificates}, was deleted: nothing is held against them."
        )
        report = replace(report, notes=(gone, *report.notes))
    report = replace(report, notes=(*report.notes, *certification_report.photograph_notes(found)))
    return Evaluation(found=found, spec=spec, report=report)


def _certificates(session: Session, spec: EvaluateSpec, indices: list[int]) -> dict[int, Certificate] | None:
    """Of the job that an attack is held against; none where that was deleted since."""
    asked = spec.evaluation
    if not isinstance(asked, Attack) or asked.certificates is None or session.get(Job, asked.certificates) is None:
        return None
    found = certificate_rows.each_at(session, asked.certificates, indices, without_counts=True)
    return {row.index: row for row in found}


def body(made: Evaluation) -> job_results.Report:
    """The report as JSON."""
    job, found = made.found.job, made.found
    return job_results.Report(
        job=certification_report.job_part(job),
        complete=made.report.complete,
        model=certification_report.model_part(found.checkpoint),
        dataset=certification_report.dataset_part(found.dataset) | {"selection": dump_spec(made.spec.inputs)},
        procedure={name: value for name, value in dump_spec(made.spec).items() if name in PROCEDURE},
        execution=job.execution or {},
        provenance={"report": {"radii": certification_report.VERSION}, **(job.provenance or {})},
        results=made.report.to_json(),
        recompute=_recompute(made),
    )


def page(made: Evaluation) -> str:
    """The report as one file of HTML."""
    from radii.service.views import report_page

    found = made.found
    row = EVALUATIONS[made.spec.evaluation.name]
    return render(
        "evaluation.html",
        body=body(made),
        report=made.report,
        row=row,
        figure=report_page.data_url(plot(made, "svg")),
        asked=[(name.replace("_", " "), _shown(value)) for name, value in _asked(made.spec).items()],
        identity=report_page.things(found),
        machine=report_page.machine(found),
        spec=json.dumps(shown(found.job.spec, found.job.plan), indent=2, sort_keys=True),
    )


def plot(made: Evaluation, form: Any) -> bytes:
    """The figure as a file; ``form`` is png or svg."""
    from radii.rs_core.plots import certification
    from radii.rs_core.plots import evaluation as evaluation_plots

    return certification.render(evaluation_plots.evaluation({made.found.checkpoint.name: made.report}), form)


def _asked(spec: EvaluateSpec) -> dict[str, Any]:
    body = dump_spec(spec)
    return {**body["evaluation"], "sigma": body["sigma"], "seed": body["seed"]}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return "not given" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _recompute(made: Evaluation) -> list[str]:
    """How to check the report, in sentences."""
    base = f"/v1/jobs/{made.found.job.id}/evaluations.csv"
    return [
        f"The rows are at {base}: for each input and point the distance of what was found, the votes of fresh noise there, and "
        "PREDICT's class, -1 where it abstains.",
        "Accuracy at a point is the number of rows whose prediction is the label, divided by all inputs of the job.",
        _repeatable(made),
    ]


def _repeatable(made: Evaluation) -> str:
    if isinstance(made.spec.evaluation, AutoAttack):
        return (
            "Inputs that are attacked together share their random starts, so another run, or one that was interrupted, may find "
            "other examples: the accuracy is repeated up to that."
        )
    return (
        "What is found follows from the model file, the data set and the specification: an evaluate job with the same "
        "specification, batch size, threads and device type draws the same noise."
    )
