"""``radii evaluate``: a look at a classifier beside its certificates, on local files and with no service."""

from pathlib import Path
from typing import Annotated, Any

import typer

from radii.service.cli import options as o
from radii.service.cli.job_options import Flags, dashed, evaluation_fields, with_fields_of
from radii.service.cli.specs import listed, spec_of

Evaluation = Annotated[str, typer.Argument(metavar="NAME", help="EVALUATIONS.")]
Results = Annotated[
    Path,
    typer.Option(
        metavar="FILE.tsv",
        help="What is found, written as it comes; all of it goes to FILE.ndjson. The same command again goes on from there.",
    ),
]


@with_fields_of("evaluate", without=["alpha"], evaluations=True)
def evaluate(
    name: Evaluation,
    out: Results,
    flags: Flags,
    spec: o.SpecFile = None,
    sets: o.Set = None,
    architecture: o.KnownArchitecture = None,
    normalization: o.KnownNormalization = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
) -> None:
    """Attack a smoothed classifier, or search for confident mistakes: what it answers there, by fresh noise."""
    from radii.rs_core.specs.jobs import EvaluateSpec
    from radii.service.local.evaluate import run

    hints = {"architecture": architecture, "normalization": normalization}
    given = _nested(name.replace("-", "_"), flags)
    run(spec_of(EvaluateSpec, spec, given, sets), out, device=device, threads=threads, hints=hints)


def _nested(name: str, flags: Flags) -> dict[str, Any]:
    """The flags, those of the evaluation as its fields; one of another evaluation is refused."""
    options = evaluation_fields()
    job, asked = dict(flags), dict[str, Any](name=name)
    known = any(name in option.fields for option in options)
    for option in options:
        value = job.pop(option.name, None)
        if value is None or not known:  # an unknown evaluation is refused by its record
            continue
        if name not in option.fields:
            own = ", ".join(dashed(one.name) for one in options if name in one.fields and one.name in flags)
            others = " and ".join(kind.replace("_", "-") for kind in option.fields)
            raise typer.BadParameter(
                f"expected options of {name.replace('_', '-')} ({own}), got {dashed(option.name)}, which is of {others}"
            )
        asked[option.fields[name]] = listed(value, "--at") if option.name == "at" else value
    return {**job, "evaluation": asked}
