"""``radii corrupt``: a data set of corrupted images out of one of clean images, on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from radii.service.cli import options as o
from radii.service.cli.specs import merged
from radii.service.console import bar, note, say, stoppable

CORRUPTIONS = "Corruptions"
Corruption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=CORRUPTIONS,
        help="A corruption, such as fog; may be given often. (default: the fifteen common ones)",
    ),
]
Severity = Annotated[
    list[int] | None,
    typer.Option(
        metavar="1..5", rich_help_panel=CORRUPTIONS, help="A severity; may be given often. (default: all five)"
    ),
]
Seed = Annotated[
    int | None, typer.Option(rich_help_panel=CORRUPTIONS, help="Of the corruptions that are random. (default: 0)")
]


def corrupt(
    dataset: o.Dataset,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Data set to write (.safetensors), for certify and predict.")
    ],
    corruption: Corruption = None,
    severity: Severity = None,
    start: o.Start = None,
    step: o.Step = None,
    count: o.Count = None,
    seed: Seed = None,
) -> None:
    """Corrupt images as in ImageNet-C: a data set of them, on which certify and predict report by corruption."""
    from radii.rs_core.data.corruptions.convert import write_corrupted
    from radii.rs_core.data.corruptions.spec import parse
    from radii.service.local.datasets import loaded

    flags = {"dataset": dataset, "corruptions": corruption or None, "severities": severity or None, "seed": seed}
    spec = parse(merged(None, None, flags | {"start": start, "step": step, "count": count}))
    part = out.with_name(out.name + ".part")
    out.parent.mkdir(parents=True, exist_ok=True)
    stopped = "Stopped: nothing is kept of what was made, and the same command begins anew."
    try:
        with stoppable(lambda: stopped, "There is not enough memory for this."), bar("corrupt") as progress:
            made = write_corrupted(
                loaded(spec.dataset), spec, part, told=lambda done, total: progress.show(done, total)
            )
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    assert made.corrupted is not None
    from radii.rs_core.reports.corruptions import origin, shortened

    for sentence in (origin(made.corrupted), *shortened(made.corrupted)):
        note(sentence)
    each, kinds = made.corrupted.groups[0].stop, len(made.corrupted.groups)
    say(f"{made.count:,} images are in {out}: {each:,} under each of {kinds} corruptions and severities.")
