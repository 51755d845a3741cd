"""``radii report``: certified accuracy and ACR of anybody's results file."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radii.service.cli.photographs import Repeating, grouped_of, shown_in, unknown_notes
from radii.service.cli.results_input import check_picture, grid_of, numbers, read, write_picture
from radii.service.console import CommandError, say
from radii.service.local.prediction_summary import predictions_table, summarize_predictions

if TYPE_CHECKING:
    from radii.rs_core.reports.corruptions import CorruptionGroups

KNOWN = "What a TSV file does not say"


def report(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", exists=True, dir_okay=False, help="Results: the field's TSV, or .ndjson with all votes."
        ),
    ],
    corruptions: Annotated[
        bool,
        typer.Option(
            "--corruptions",
            help="The files are one for each corruption, with its name (fog.tsv ...): print rows by corruption, mACR and mAcc.",
        ),
    ] = False,
    per_severity: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="With --corruptions: indices of one severity in each file, 10000 in CIFAR-10-C, to have rows by severity "
            "and intervals of mACR and mAcc, too. (default: neither)",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="W,W,...",
            help="The files are certificates of mixes, such as at several sigma: print rows for these weights of the robust "
            "classifier, and draw a panel for each file. (default: one file, at the weights of the paper)",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every number in full. (default: text)")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one number per line. (default: text)")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw the certified-accuracy curve (.png or .svg). (default: none)"),
    ] = None,
    radii: Annotated[
        str | None,
        typer.Option(
            metavar="R,R,...", help="Radii of the table, in [0, 1]-pixel l2 units. (default: a grid up to the cap)"
        ),
    ] = None,
    total: Annotated[
        int | None,
        typer.Option(min=1, help="Inputs of the whole run, where rows are still missing. (default: the rows)"),
    ] = None,
    photographs: Repeating = None,
    certificates: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Of an attack: results of `radii certify` of the same model, data and sigma, to hold its answers against. "
            "(default: those of the run)",
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(rich_help_panel=KNOWN, help="Noise level, in [0, 1]-pixel units. (default: unknown)"),
    ] = None,
    n0: Annotated[
        int | None, typer.Option("--n0", rich_help_panel=KNOWN, help="Noise samples for selection. (default: unknown)")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", rich_help_panel=KNOWN, help="Noise samples for estimation. (default: unknown)")
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(rich_help_panel=KNOWN, help="Failure probability, per input. (default: unknown)"),
    ] = None,
) -> None:
    """Print certified accuracy and ACR of a results file, of radii or of any other tool that writes the field's TSV."""
    if as_json and as_csv:
        raise typer.BadParameter("expected --json or --csv, got both")
    if corruptions:
        if any(value is not None for value in (radii, total, sigma, n0, n, alpha, weights, certificates, photographs)):
            wanted = (
                "no --radii, --total, --sigma, --n0, --n, --alpha, --photographs, --weights and --certificates with "
                "--corruptions"
            )
            raise typer.BadParameter(f"expected {wanted}, got one of them")
        from radii.service.cli import corruption_report

        corruption_report.report(files, per_severity, as_json=as_json, as_csv=as_csv, plot=plot)
        return
    if weights is not None:
        if any(value is not None for value in (total, sigma, n0, n, alpha, per_severity, certificates)):
            raise typer.BadParameter("expected --radii, --plot, --json or --csv with --weights, got another flag")
        from radii.service.cli import mixed_report

        mixed_report.report(
            files,
            numbers(weights, "--weights"),
            grid_of(radii),
            repeating=photographs,
            as_json=as_json,
            as_csv=as_csv,
            plot=plot,
        )
        return
    if len(files) > 1 or per_severity is not None:
        raise typer.BadParameter("expected one file, or --corruptions or --weights")
    (file,) = files
    grid = grid_of(radii)
    check_picture(plot)
    found, run = read(file, sigma=sigma, n0=n0, n=n, alpha=alpha)
    rows: Any = found
    inputs = total or max(int(run.get("inputs") or 0), len(rows))
    from radii.rs_core.evaluate.records import EvaluationRecord
    from radii.rs_core.records import Prediction

    if isinstance(rows[0], EvaluationRecord):
        _print_evaluation(rows, run, file, certificates, photographs, as_json=as_json, as_csv=as_csv, plot=plot)
        return
    grouped = grouped_of(run)
    if isinstance(rows[0], Prediction):
        refused = as_csv or plot is not None or grid is not None
        _print_predictions(rows, inputs, grouped, as_json=as_json, refused=refused)
        return
    if grid is None and (at := getattr(rows[0], "radii", ())):
        grid = [0.0, *at]  # elsewhere the certificates of at_radii say little
    from radii.rs_core.reports.certification import summarize
    from radii.rs_core.reports.certification_of_spec import spec_of_run, summarize_asked
    from radii.rs_core.reports.certification_text import format_table, to_csv

    shown = shown_in(file, run, rows, photographs)
    asked, names = spec_of_run(run), run.get("class_names")
    if asked is not None and not any((sigma, n0, n, alpha)):
        pixels = math.prod(run.get("shape") or ()) or None
        made = summarize_asked(
            rows,
            asked,
            total=inputs,
            radii=grid,
            class_names=names,
            pixels=pixels,
            grouped=grouped,
            photographs=shown.photographs,
        )
    else:
        made = summarize(
            rows, radii=grid, total=inputs, class_names=names, grouped=grouped, photographs=shown.photographs
        )
    labels = (row.label for row in sorted(rows, key=_by_index))
    made = replace(made, notes=(*made.notes, *unknown_notes(shown, labels)))
    _check_cap(made.cap, max(row.radius for row in rows))
    if as_json:
        say(json.dumps(made.to_json(), indent=2))
    else:
        say((to_csv(made) if as_csv else format_table(made)).rstrip("\n"))
    if plot is not None:
        from radii.rs_core.plots.certification import certified_accuracy, drawn

        curve = drawn(rows, shown.photographs)
        write_picture(plot, certified_accuracy({file.stem: curve}, totals={file.stem: inputs}), "The curve is")


def _by_index(row: Any) -> int:
    return int(row.index)


def _check_cap(cap: float | None, largest: float) -> None:
    """Refuses n, alpha and sigma under which the rows cannot have come about; radii may be rounded to three digits."""
    if cap is not None and largest > cap * 1.005:
        raise CommandError(
            f"The rows reach a radius of {largest:.4g}, which is more than n, alpha and sigma allow: expected at most "
            f"{cap:.4g}."
        )


def _print_evaluation(
    rows: Any,
    run: dict[str, Any],
    file: Path,
    certified: Path | None,
    repeating: int | None,
    *,
    as_json: bool,
    as_csv: bool,
    plot: Path | None,
) -> None:
    from radii.rs_core.plots import evaluation
    from radii.rs_core.reports.evaluation import summarize
    from radii.rs_core.reports.evaluation_text import format_table, to_csv
    from radii.rs_core.specs.jobs import Attack, EvaluateSpec, parse_spec
    from radii.service.local.evaluate import certificates_in, check_certificates

    files = dict(run.get("files") or {})
    named = files.pop("certificates", None)
    spec = parse_spec({**run["spec"], **files}) if run else None
    if not isinstance(spec, EvaluateSpec):
        raise CommandError(
            f"Expected the run that wrote {file} in {file.with_suffix('.run.json')}, got none of its kind."
        )
    if certified is not None and not isinstance(spec.evaluation, Attack):
        raise CommandError(f"Only an attack's answers are held against certificates; got {spec.evaluation.name}.")
    if certified is None and named is not None and Path(named).exists():
        certified = Path(named)
    certificates = None if certified is None else certificates_in(certified)
    if certified is not None and certificates is not None:
        check_certificates(certified, certificates, spec, run, [row.index for row in rows])
    shown = shown_in(file, run, rows, repeating)
    total = int(run.get("inputs") or 0)
    made = summarize(rows, spec, total=total, certificates=certificates, photographs=shown.photographs)
    labels = (row.label for row in sorted(rows, key=_by_index))
    made = replace(made, notes=(*made.notes, *unknown_notes(shown, labels)))
    say(json.dumps(made.to_json(), indent=2) if as_json else (to_csv(made) if as_csv else format_table(made)).rstrip())
    if plot is not None:
        write_picture(plot, evaluation.evaluation({file.stem: made}), "The curve is")


def _print_predictions(
    rows: Any, inputs: int, grouped: "CorruptionGroups | None", *, as_json: bool, refused: bool
) -> None:
    if refused:
        raise CommandError("The file holds predictions, which have no radii: expected no --csv, --plot or --radii.")
    if as_json:
        say(json.dumps(summarize_predictions(rows, inputs, grouped), indent=2))
    else:
        say(predictions_table(rows, inputs, grouped))
