"""A results file of anybody: its rows, what stands beside it about the run that wrote it, and figures drawn of it."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from radii.rs_core.results import ndjson
from radii.service.console import CommandError, note
from radii.service.local.results import read_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from radii.rs_core.evaluate.records import EvaluationRecord
    from radii.rs_core.records import Certificate, Prediction

    Rows = list[Certificate] | list[Prediction] | list[EvaluationRecord]

NDJSON = (".ndjson", ".jsonl")


def read(
    file: Path,
    *,
    sigma: float | None = None,
    n0: int | None = None,
    n: int | None = None,
    alpha: float | None = None,
) -> "tuple[Rows, dict[str, Any]]":
    """The rows, and the record of the run where one stands beside them, else nothing. ``sigma``, ``n0``, ``n`` and ``alpha``
    are what a TSV file does not say."""
    run = read_run(file) or {}
    rows = _rows(file, **_known(file, run, sigma=sigma, n0=n0, n=n, alpha=alpha))
    return _as_made(rows, run), run


def grid_of(radii: str | None) -> list[float] | None:
    """Radii of a flag, joined by commas."""
    return None if radii is None else numbers(radii, "--radii")


def numbers(text: str, flag: str) -> list[float]:
    """What is joined by commas."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        wanted = f"{flag.removeprefix('--')} joined by commas"
        raise typer.BadParameter(f"expected {wanted}, got {text!r}", param_hint=flag) from None


def check_picture(path: Path | None) -> None:
    """Refuses a --plot that is no picture, before the work is done."""
    if path is not None and path.suffix not in (".png", ".svg"):
        raise CommandError(f"--plot must end in .png or .svg, got {str(path)!r}.")


def write_picture(path: Path, figure: "Figure", what: str) -> None:
    """Writes a figure, and says where it is."""
    from radii.rs_core.plots.certification import render

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(render(figure, "png" if path.suffix == ".png" else "svg"))
    note(f"{what} in {path}.")


def _known(file: Path, run: dict[str, Any], **flags: Any) -> dict[str, Any]:
    """What the flags say, else what stands beside a TSV file about the run that wrote it."""
    if file.suffix in NDJSON:
        return flags
    spec = run.get("spec") or {}
    return {name: spec.get(name) if value is None else value for name, value in flags.items()}


def _as_made(rows: Any, run: dict[str, Any]) -> Any:
    """Rows of a TSV file with what stands beside it about their procedure; other rows say it themselves."""
    spec = run.get("spec") or {}
    if spec.get("kind") != "certify" or any(row.counts for row in rows):
        return rows
    made = {name: spec[name] for name in ("sampling", "bound", "noise", "precision", "robust_weight") if name in spec}
    together = spec.get("guarantee") == "dataset" and run.get("inputs")
    return [replace(row, **made, alpha=row.alpha / run["inputs"] if together else row.alpha) for row in rows]


def _rows(file: Path, *, sigma: float | None, n0: int | None, n: int | None, alpha: float | None) -> "Rows":
    from radii.rs_core.results.tsv_reader import KnownParameters, read_results

    if file.suffix not in NDJSON:
        known = [math.nan if value is None else value for value in (sigma, alpha)]
        return read_results(file, known=KnownParameters(sigma=known[0], n0=n0 or 0, n=n or 0, alpha=known[1]))
    if any(value is not None for value in (sigma, n0, n, alpha)):
        raise typer.BadParameter("expected --sigma, --n0, --n and --alpha with a TSV file only: the rows say them")
    return ndjson.read_ndjson(file)
