"""``radii evaluate``: a look at a classifier beside its certificates, on local files and with no service."""

from pathlib import Path
from typing import Annotated, Any

import typer

from radii.service.cli import options as o
from radii.service.cli.job_options import Flags, with_fields_of
from radii.service.cli.specs import listed, spec_of

ASKED = "What is asked"

Evaluation = Annotated[str, typer.Argument(metavar="NAME", help="attack, over-confidence or autoattack.")]
Results = Annotated[
    Path,
    typer.Option(
        metavar="FILE.tsv",
        help="What is found, written as it comes; all of it goes to FILE.ndjson. The same command again goes on from there.",
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        metavar="R,R,...",
        rich_help_panel=ASKED,
        help="Attack radii, or lengths of the search, l2, in [0, 1]-pixel units. (default: 0 to 1, or 0 to 5)",
    ),
]
Epsilon = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=ASKED, help="Radius of AutoAttack, in [0, 1]-pixel units of its norm. (default: 8/255)"
    ),
]
Norm = Annotated[str | None, typer.Option(rich_help_panel=ASKED, help="Of AutoAttack: linf or l2. (default: linf)")]
Algorithm = Annotated[str | None, typer.Option(rich_help_panel=ASKED, help="Of an attack: pgd or ddn. (default: pgd)")]
Steps = Annotated[int | None, typer.Option(rich_help_panel=ASKED, help="Steps of an attack. (default: 20)")]
StepSize = Annotated[
    float | None, typer.Option(rich_help_panel=ASKED, help="Length of each step of a search. (default: 0.1)")
]
M = Annotated[
    int | None,
    typer.Option(
        "--m", rich_help_panel=ASKED, help="Noise samples that it goes through. (default: 64; of a search 16)"
    ),
]
N = Annotated[
    int | None,
    typer.Option(
        "--n", rich_help_panel=ASKED, help="Fresh noise samples that vote. (default: 10000; of a search 1000)"
    ),
]
Certificates = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=ASKED,
        help="Results of `radii certify` of the same model, data and sigma: every answer of another class within a "
        "certified radius is counted. (default: none)",
    ),
]


@with_fields_of("evaluate")
def evaluate(
    name: Evaluation,
    out: Results,
    flags: Flags,
    spec: o.SpecFile = None,
    sets: o.Set = None,
    at: At = None,
    epsilon: Epsilon = None,
    norm: Norm = None,
    algorithm: Algorithm = None,
    steps: Steps = None,
    step_size: StepSize = None,
    m: M = None,
    n: N = None,
    certificates: Certificates = None,
    architecture: o.KnownArchitecture = None,
    normalization: o.KnownNormalization = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
) -> None:
    """Attack a smoothed classifier, or search for confident mistakes: what it answers there, by fresh noise."""
    name = name.replace("-", "_")
    points = listed(at)
    if name == "autoattack" and at is not None:
        raise typer.BadParameter("expected --epsilon, the one radius of AutoAttack, got --at")
    if name != "autoattack" and epsilon is not None:
        raise typer.BadParameter(
            "expected --at, with one radius or length or more, got --epsilon, which is AutoAttack's"
        )
    asked: dict[str, Any] = {
        "name": name,
        **(
            {"epsilon": epsilon}
            if name == "autoattack"
            else {"lengths" if name == "over_confidence" else "epsilons": points}
        ),
        "algorithm": algorithm,
        "norm": norm,
        "steps": steps,
        "step_size": step_size,
        "m": m,
        "n": n,
        "certificates": certificates,
    }
    given = {"evaluation": {field: value for field, value in asked.items() if value is not None}}
    from radii.rs_core.specs.jobs import EvaluateSpec
    from radii.service.local.evaluate import run

    hints = {"architecture": architecture, "normalization": normalization}
    run(spec_of(EvaluateSpec, spec, {**flags, **given}, sets), out, device=device, threads=threads, hints=hints)
