"""``radii report --weights``: certifications of mixes, such as at several noise levels, weight by weight."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from service.commands.console import CommandError, say
from service.commands.results_file import check_picture, read, write_picture

if TYPE_CHECKING:
    from rs_core.mixed_report import WeightRow


def report(
    files: Sequence[Path],
    weights: Sequence[float],
    radii: Sequence[float] | None,
    *,
    as_json: bool,
    as_csv: bool,
    plot: Path | None,
) -> None:
    """Prints the table of each file, and draws all of them in one figure."""
    from rs_core.mixed_report import at_radii
    from rs_core.mixed_text import lines_of
    from rs_core.tally import radii_up_to

    check_picture(plot)
    if not all(0 <= weight <= 1 for weight in weights):
        raise CommandError(
            "Expected weights from 0 to 1 as --weights, got " + ", ".join(f"{one:g}" for one in weights) + "."
        )
    fine = {_name(file): _rows(file, weights, radii, fine=plot is not None) for file in files}
    found = {name: at_radii(rows, radii or radii_up_to(rows[0].certified[-1].radius)) for name, rows in fine.items()}
    if len(found) < len(files):
        raise CommandError("Expected files of different names, got two of one.")
    if as_json:
        body = {name: [asdict(row) for row in rows] for name, rows in found.items()}
        say(json.dumps(body, indent=2))
    elif as_csv:
        say(_csv(found))
    else:
        say("\n\n".join("\n".join([name, *lines_of(rows)]) for name, rows in found.items()))
    if plot is not None:
        from rs_core.plots_mixed import by_weight

        write_picture(plot, by_weight(fine), "The curves are")


def _name(file: Path) -> str:
    row = read(file)[0][0]
    return f"{file.stem}, σ = {getattr(row, 'sigma', math.nan):g}"


def _rows(
    file: Path, weights: Sequence[float], radii: Sequence[float] | None, *, fine: bool = False
) -> "tuple[WeightRow, ...]":
    from rs_core.certify.decision import Certificate
    from rs_core.report import weight_rows

    rows, run = read(file)
    certificates = [row for row in rows if isinstance(row, Certificate)]
    if len(certificates) < len(rows):
        raise CommandError(f"Expected certificates of a mix in {file}, got rows of something else.")
    total, pixels = max(int(run.get("inputs") or 0), len(rows)), math.prod(run.get("shape") or ()) or None
    return weight_rows(certificates, radii=radii, weights=weights, total=total, pixels=pixels, fine=fine)


def _csv(found: "dict[str, tuple[WeightRow, ...]]") -> str:
    import csv
    import io

    from rs_core.mixed_text import csv_rows
    from rs_core.report_text import CSV_COLUMNS

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["certification", *CSV_COLUMNS])
    writer.writerows([name, *row] for name, rows in found.items() for row in csv_rows(rows))
    return text.getvalue().rstrip("\n")
