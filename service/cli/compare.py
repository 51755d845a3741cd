"""``radii compare``: any results files and jobs of a service beside each other, and beside published figures."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radii.service.cli.connection import DEFAULT_SERVER, ApiKey, Server, connect
from radii.service.cli.photographs import Repeating, shown_by, shown_in
from radii.service.cli.results_input import check_picture, grid_of, read, write_picture
from radii.service.console import CommandError, say

if TYPE_CHECKING:
    from radii.rs_core.comparisons.alignment import Run
    from radii.service.client.client import Client
    from radii.service.schemas.responses import Dataset

JOB = "job_"


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]FILE|JOB...",
            help="Results: the field's TSV, .ndjson with all votes, or a certify job of the service (job_...).",
        ),
    ],
    baseline: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The run that the others are tested against. (default: the first)"),
    ] = None,
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Test every two runs. (default: each against the baseline)")
    ] = False,
    published: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Lay a published result beside them, see `radii published`; may be given again. (default: none)",
        ),
    ] = None,
    radii: Annotated[
        str | None,
        typer.Option(
            metavar="R,R,...",
            help="Radii of tables and tests, in [0, 1]-pixel l2 units. (default: a grid up to the cap)",
        ),
    ] = None,
    photographs: Repeating = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw all curves on one plot (.png or .svg). (default: none)"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every number in full. (default: text)")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one number per line. (default: text)")] = False,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """Compare certifications on the inputs they share: certified accuracy, ACR, and paired tests against one of them.

    One run alone may be laid beside published results.
    """
    if as_json and as_csv:
        raise typer.BadParameter("expected --json or --csv, got both")
    grid = grid_of(radii)
    check_picture(plot)
    from radii.rs_core.comparisons.compare import checked, compare_aligned
    from radii.rs_core.comparisons.text import comparison_csv, format_comparison
    from radii.rs_core.literature import published_results as results

    beside = [results.published(name) for name in published or []]
    found = _read_all(runs, photographs, server, api_key)
    shared = checked(found, baseline)
    made = compare_aligned(found, shared, baseline=baseline, all_pairs=all_pairs, radii=grid, published=beside)
    if as_json:
        say(json.dumps(made.to_json(), indent=2))
    else:
        say((comparison_csv(made) if as_csv else format_comparison(made)).rstrip("\n"))
    if plot is not None:
        from radii.rs_core.plots.comparison import comparison_figure

        write_picture(plot, comparison_figure(found, shared, beside), "The curves are")


def _read_all(given: list[str], repeating: int | None, server: str, api_key: str | None) -> "list[Run]":
    """The runs in the order in which they were given; jobs come over one connection."""
    named = _named(given)
    if not any(_is_job(place) for _, place in named):
        return [_of_file(name, Path(place), repeating) for name, place in named]
    with connect(server, api_key) as client:
        return [
            _of_job(name, place, client) if _is_job(place) else _of_file(name, Path(place), repeating)
            for name, place in named
        ]


def _named(given: list[str]) -> list[tuple[str, str]]:
    """Each run's name and place: the name that it was given, else a job's identifier or a file's stem, or all of its path
    where another run has the same stem."""
    split = [_split(text) for text in given]
    short = [name or (place if _is_job(place) else Path(place).stem) for name, place in split]
    return [
        (place if name is None and short.count(own) > 1 else own, place)
        for (name, place), own in zip(split, short, strict=True)
    ]


def _split(text: str) -> tuple[str | None, str]:
    name, sign, place = text.partition("=")
    return (name, place) if sign and name and not Path(text).exists() else (None, text)


def _is_job(place: str) -> bool:
    return place.startswith(JOB) and not Path(place).exists()


def _of_file(name: str, path: Path, repeating: int | None) -> "Run":
    if not path.is_file():
        raise CommandError(f"There is no file {str(path)!r}, and the identifier of a job begins with {JOB}.")
    rows: Any
    rows, run = read(path)
    from radii.rs_core.comparisons.alignment import run_of
    from radii.rs_core.comparisons.runs import run_of_certificates
    from radii.rs_core.records import Certificate
    from radii.rs_core.reports.certification_of_spec import spec_of_run

    if not isinstance(rows[0], Certificate):
        raise CommandError(f"The file {path} holds predictions, which have no radii to compare.")
    asked, shown = spec_of_run(run), shown_in(path, run, rows, repeating)
    if asked is None:
        return run_of(name, rows, data=shown.data, photographs=shown.photographs)
    total = max(int(run.get("inputs") or 0), len(rows))
    data = run.get("dataset")
    return run_of_certificates(name, rows, asked, total=total, data=data, photographs=shown.photographs)


def _of_job(name: str, id: str, client: "Client") -> "Run":
    from radii.rs_core.comparisons.runs import run_of_certificates
    from radii.rs_core.specs.jobs import CertifySpec, parse_spec

    job = client.job(id)
    if job.kind != "certify":
        raise CommandError(f"Job {id} is of kind {job.kind}: only certify jobs have certificates to compare.")
    spec = parse_spec(job.info.spec)
    assert isinstance(spec, CertifySpec)
    rows = list(job.certificates())
    data = _data_of(client, job.info.dataset)
    if data is None:
        return run_of_certificates(name, rows, spec, total=job.progress.total)
    corrupted = None if data.corrupted is None else data.corrupted.model_dump()
    count = data.count or 0
    shown = shown_by(corrupted, spec.inputs.indices(count), declared=data.photographs, count=count)
    return run_of_certificates(name, rows, spec, total=job.progress.total, data=data.content_hash, photographs=shown)


def _data_of(client: "Client", dataset: str | None) -> "Dataset | None":
    """A job's dataset, where it is still there."""
    from radii.service.client.client import ApiError

    try:
        return client.dataset(dataset) if dataset else None
    except ApiError:
        return None
