"""The report as one self-contained HTML file: figures inside, nothing fetched, readable on screen and on paper."""

import base64
import json
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from radii.rs_core.plots import certification, corruptions, mixed
from radii.rs_core.reports.certification import Report
from radii.rs_core.reports.certification_of_spec import how_of
from radii.rs_core.reports.corruptions import origin, shortened
from radii.rs_core.reports.procedure_text import SAMPLINGS
from radii.rs_core.results.row_statistics import RowStatistics
from radii.rs_core.results.tsv import rounded_down
from radii.rs_core.specs.composition import PARTS
from radii.rs_core.specs.jobs import NoiseJob
from radii.service.views import certification_report
from radii.service.views.certification_report import Sources
from radii.service.views.rendering import render
from radii.worker.store import corruption_groups
from radii.worker.store.specifications import as_kind
from radii.worker.store.specifications import shown as shown_spec

GUARANTEES = {"per_input": "per input", "dataset": "for all inputs together"}
QUANTILES = ("minimum", "5 %", "25 %", "median", "75 %", "95 %", "maximum")


def page(found: Sources, report: Report, rows: RowStatistics) -> str:
    """The whole file."""
    body = certification_report.body(found, report)
    return render(
        "report.html",
        body=body,
        report=report,
        quantiles=quantiles(report),
        curve=figure(found, rows, report, "certified-accuracy"),
        histogram=figure(found, rows, report, "radius-histogram"),
        weights=figure(found, rows, report, "weights") if report.weights else None,
        corruptions=figure(found, rows, report, "corruptions") if report.corruptions else None,
        identity=identity(found),
        machine=machine(found),
        spec=json.dumps(shown_spec(found.job.spec, found.job.plan), indent=2, sort_keys=True),
    )


def figure(found: Sources, rows: RowStatistics, report: Report, name: str) -> str:
    """A plot as a data URL."""
    return data_url(plot(found, rows, name, "svg", report))


def data_url(svg: bytes) -> str:
    """An SVG figure as it stands inside a page."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def plot(found: Sources, rows: RowStatistics, name: str, form: Any, report: Report | None = None) -> bytes:
    """A plot as a file; ``form`` is png or svg, and ``report`` the report of the rows, where there is one already."""
    spec, done, total = found.job.certify, rows.sums.evaluated, found.summary.total
    how = SAMPLINGS[spec.sampling]
    # A title of the plot's width has about 65 characters.
    about = f"σ = {spec.sigma:g}, " + (f"n = {spec.n:,}" if how == SAMPLINGS["fixed"] else how)
    if done < total:
        about += f" (partial: {done:,} of {total:,} inputs)"
    if name == "radius-histogram":
        return certification.render(certification.radius_histogram(rows, title=f"Certified radii, {about}"), form)
    if (
        name == "corruptions"
        and (made := (report or certification_report.numbers(found, rows)).corruptions) is not None
    ):
        return certification.render(corruptions.by_corruption(made, title=f"By corruption, {about}"), form)
    if name == "weights":
        return certification.render(mixed.by_weight({about: found.weights}), form)
    label = found.checkpoint.name
    how_made = how_of(found.job.certify)
    curve = certification.PlotInput(statistics=rows, how=how_made, photographs=certification_report.photographs(found))
    drawn = certification.certified_accuracy(
        {label: curve}, totals={label: total}, title=f"Certified accuracy, {about}"
    )
    return certification.render(drawn, form)


def quantiles(report: Report) -> list[tuple[str, str, str]]:
    """Rows of a table: name, radius x correct, p_lower; rounded down."""
    radii = astuple(report.radius_quantiles)
    bounds = astuple(report.p_lower_quantiles) if report.p_lower_quantiles else ()
    shown = [rounded_down(value, 4) for value in bounds] or ["–"] * len(radii)
    return [(name, rounded_down(radius, 4), bound) for name, radius, bound in zip(QUANTILES, radii, shown, strict=True)]


def identity(found: Sources) -> list[tuple[str, str]]:
    """What was certified with what, as names and values."""
    asked = found.job.certify
    most = "" if asked.sampling == "fixed" else ", at most"
    return [
        *things(found),
        ("Noise level sigma", f"{asked.sigma:g}"),
        ("Procedure", how_of(asked).text),
        *([("Settled at radii", ", ".join(f"{radius:g}" for radius in asked.radii))] if asked.radii else []),
        ("Noise samples", f"n0 = {asked.n0:,} (selection), n = {asked.n:,} (estimation{most})"),
        ("Failure probability alpha", f"{asked.alpha:g}, {GUARANTEES[asked.guarantee]}"),
        ("Seed", str(asked.seed)),
    ]


def things(found: Sources) -> list[tuple[str, str]]:
    """Which model and which inputs, as names and values."""
    model, data = certification_report.model_part(found.checkpoint), certification_report.dataset_part(found.dataset)
    selection = as_kind(found.job.spec, NoiseJob).inputs
    count = "all" if selection.count is None else f"at most {selection.count:,}"
    shape = "×".join(str(side) for side in data["shape"] or [])
    return [
        ("Model", f"{model['name']} ({model['id']})"),
        ("Model file, SHA-256", str(model["sha256"])),
        ("Architecture", f"{model['architecture']}, {model['num_classes']} classes"),
        *_made_of(model),
        ("Normalisation", json.dumps(model["normalization"]) if model["normalization"] else "none"),
        ("Trained with", f"{model['method'] or 'unknown method'}, sigma {_known(model['sigma'])}"),
        ("Data set", f"{data['name']} ({data['id']}), {data['count']:,} images of {shape}"),
        *corrupted_facts(found),
        ("Data content, SHA-256", str(data["content_hash"])),
        ("Data file, SHA-256", str(data["sha256"])),
        ("Inputs", f"{count}, from index {selection.start:,} in steps of {selection.step:,}"),
    ]


def _made_of(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How a composite is made, and of which files; nothing of a single network."""
    if model["composition"] is None:
        return []
    kind = model["composition"]["kind"]
    roles = PARTS.get(kind) or ("",) * len(model["parts"])
    rows = [("Made as", ", ".join([kind, *_settings(model["composition"])]))]
    for place, (role, part) in enumerate(zip(roles, model["parts"], strict=True)):
        text = ", ".join(str(part[name]) for name in ("architecture", "id", "sha256") if part.get(name))
        rows.append((f"Part {place}" + (f", {role}" if role else ""), text))
    return rows


def _settings(composition: Mapping[str, Any]) -> list[str]:
    """What a composition says beside its kind."""
    known = {name.replace("_", " "): value for name, value in sorted(composition.items()) if value is not None}
    del known["kind"]
    return ["weights by a mixing network" if name == "mixing" else f"{name} {value:g}" for name, value in known.items()]


def corrupted_facts(found: Sources) -> list[tuple[str, str]]:
    """Where corrupted images come from."""
    corrupted = corruption_groups.corrupted(found.dataset)
    if corrupted is None:
        return []
    facts = [("Corruptions", " ".join((origin(corrupted), *shortened(corrupted))))]
    clean = [("Clean data content, SHA-256", corrupted.clean_hash)] if corrupted.clean_hash else []
    return [*facts, *clean]


def machine(found: Sources) -> list[tuple[str, str]]:
    """What the votes depend on beside the specification: the fixed execution, and each machine that took part."""
    known = (found.job.execution or {}).items()
    execution = [
        (name.replace("_", " "), "not given" if value is None else str(value)) for name, value in sorted(known)
    ]
    workers = (found.job.provenance or {}).get("workers", [])
    rows = [*execution]
    for number, worker in enumerate(workers, start=1):
        title = "machine" if len(workers) == 1 else f"machine {number}"
        versions = ", ".join(f"{name} {value or 'none'}" for name, value in worker.get("versions", {}).items())
        rows += [
            (title, str(worker.get("device", "unknown"))),
            (f"{title}: versions", versions),
        ]
    return [*rows, ("report made by", f"radii {certification_report.VERSION}")]


def _known(value: object) -> str:
    return "unknown" if value is None else str(value)
