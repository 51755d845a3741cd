"""``radii verify``: an audit of certificates, of a file by whoever has it with model and data, or of a service's job.

Every radius is computed again from its counts. Where model and data are given, the noise of some inputs, chosen at random,
is drawn again from the streams that their certificates name, and the counts are compared.
"""

import json
import random
import secrets
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radii.rs_core.results import ndjson
from radii.service.cli import options as o
from radii.service.cli.connection import DEFAULT_SERVER, ApiKey, Server, connect_patiently, follow
from radii.service.console import CommandError, bar, note, say

if TYPE_CHECKING:
    from radii.rs_core.records import Certificate
    from radii.rs_core.specs.jobs import CertifySpec

MODEL_AND_DATA = "Model and data, to draw noise again (files only)"
INPUTS = 20

Checkpoint = Annotated[
    Path | None,
    typer.Option(metavar="FILE", rich_help_panel=MODEL_AND_DATA, help="The model that was certified. (default: none)"),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="DATA", rich_help_panel=MODEL_AND_DATA, help="The data set, as in `radii certify`. (default: none)"
    ),
]


def verify(
    what: Annotated[
        str,
        typer.Argument(metavar="FILE|JOB", help="Certificates with their counts (.ndjson), or a job of the service."),
    ],
    checkpoint: Checkpoint = None,
    dataset: Data = None,
    inputs: Annotated[int, typer.Option(min=1, help="Inputs whose noise is drawn again, chosen at random.")] = INPUTS,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the choice of inputs. (default: nobody can know it beforehand)")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON. (default: text)")] = False,
    architecture: o.KnownArchitecture = None,
    normalization: o.KnownNormalization = None,
    device: o.Device = "auto",
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """Check certificates: compute each radius again from its counts, and draw the noise of some inputs again.

    Exit code 1 where anything is wrong. A file needs --checkpoint and --dataset to draw noise again; a job has them.
    """
    chosen_by = secrets.randbits(62) if seed is None else seed
    if Path(what).is_file():
        hints = {"architecture": architecture, "normalization": normalization}
        found = _file(Path(what), checkpoint, dataset, inputs, chosen_by, device=device, hints=hints)
    elif what.startswith("job_"):
        if checkpoint is not None or dataset is not None:
            raise typer.BadParameter("expected --checkpoint and --dataset with a file only: a job has its own")
        found = _job(what, inputs, chosen_by, server, api_key)
    else:
        raise CommandError(f"There is no file {what!r}, and the identifier of a job begins with job_.")
    say(json.dumps(found, indent=2) if as_json else told(found))
    if not found["sound"]:
        raise typer.Exit(1)


def told(found: dict[str, Any]) -> str:
    """What was found, in sentences."""
    first, second = found["recomputed"], found["redrawn"]
    lines = [
        f"Recomputed: {first['looked_at']:,} certificates from their counts; {_number(first['wrong'])} wrong.",
        *_faults(first),
    ]
    if second is None:
        lines.append("Redrawn: nothing, since that takes --checkpoint and --dataset.")
    else:
        lines.append(
            f"Redrawn: {second['looked_at']:,} inputs, chosen by seed {found['seed']}; {second['equal']:,} have equal "
            f"counts, {_number(second['wrong'])} wrong. Compared by {second['compared_by']}"
            + (f", false alarm {second['false_alarm']:g} in all." if second["false_alarm"] else ".")
        )
        lines += _faults(second)
        lines += _not_compared(second)
    lines.append("Nothing is wrong." if found["sound"] else "These certificates do not hold what they say.")
    return "\n".join(lines)


def _not_compared(redrawn: dict[str, Any]) -> list[str]:
    """Inputs that say nothing either way."""
    within = redrawn["looked_at"] - sum(redrawn.get(name, 0) for name in ("equal", "wrong", "moved_on", "failed"))
    chance = [f"By no more than chance: {within:,} inputs have other counts."] if within else []
    reasons = {
        "moved_on": "whose job has drawn more since: audit them when it has ended",
        "failed": "on which drawing again failed",
    }
    left = [f"Not compared: {redrawn[name]:,} inputs {why}." for name, why in reasons.items() if redrawn.get(name)]
    return chance + left


def _number(wrong: int) -> str:
    return f"{wrong:,}" if wrong else "none"


def _faults(findings: dict[str, Any]) -> list[str]:
    lines = [
        f"  {'the job' if fault['index'] is None else 'input ' + str(fault['index'])}: {fault['what']}."
        for fault in findings["faults"]
    ]
    more = findings["wrong"] - len(findings["faults"])
    return [*lines, f"  and {more:,} more."] if more else lines


def _job(job_id: str, inputs: int, seed: int, server: str, api_key: str | None) -> dict[str, Any]:
    with connect_patiently(server, api_key) as client:
        job = client.verify(job_id, inputs=inputs, seed=seed)
        follow(job)
        found: dict[str, Any] | None = job.refresh().info.output
        if found is None:
            raise CommandError(f"The audit {job.id} has ended without a result: it is {job.state}.")
        return found


def _file(
    file: Path,
    checkpoint: Path | None,
    dataset: str | None,
    inputs: int,
    seed: int,
    *,
    device: str,
    hints: dict[str, str | None],
) -> dict[str, Any]:
    if (checkpoint is None) != (dataset is None):
        raise typer.BadParameter("expected --checkpoint and --dataset together, got one of them")
    rows = [row for row in ndjson.read_ndjson(file) if hasattr(row, "radius")]
    if not rows:
        raise CommandError(f"The file {file} holds no certificates.")
    from radii.rs_core.certify.audit import Recomputation
    from radii.rs_core.certify.procedure import procedure_of
    from radii.rs_core.reports.certification_of_spec import spec_of_run
    from radii.service.local.opened_run import read_files
    from radii.service.local.results import read_run

    opened = read_files(checkpoint, dataset, hints) if checkpoint is not None and dataset is not None else None
    data = None if opened is None else opened[2]
    run = read_run(file) or {}
    spec = spec_of_run(run)
    asked = procedure_of(spec, inputs=int(run["inputs"])) if spec is not None and run.get("inputs") else None
    pixels = None if data is None else data.image(0).numel()
    labels = None if data is None else data.labels
    recomputation = Recomputation(pixels, asked, None if spec is None else spec.seed, labels)
    recomputation.look_at(rows)  # type: ignore[arg-type]
    for index, times in Counter(row.index for row in rows).items():
        if times > 1:
            recomputation.findings.add(None, f"input {index} has {times} certificates")
    redrawn = None if opened is None else _redrawn(file, rows, opened[0], data, inputs, seed, device)  # type: ignore[arg-type]
    for index, what in ndjson.contradictions(file):
        recomputation.findings.add(None, f"input {index}: {what}")
    if len(rows) < int(run.get("inputs") or 0):
        note(f"The file has {len(rows):,} certificates; its run was to make {int(run['inputs']):,}.")
    wrong = recomputation.findings.wrong + (redrawn["wrong"] if redrawn else 0)
    return {
        "sound": wrong == 0,
        "recomputed": recomputation.findings.to_json(),
        "redrawn": redrawn,
        "seed": seed,
    }


def _redrawn(
    file: Path, rows: "list[Certificate]", model: Any, data: Any, inputs: int, seed: int, device: str
) -> dict[str, Any]:
    """Draws again as the run beside the file says that it ran; without one, as this machine would."""
    from radii.rs_core.certify.audit import RedrawComparison
    from radii.rs_core.records import Certificate
    from radii.rs_core.runs import verify
    from radii.rs_core.runs.noise_run import NoiseRun
    from radii.service.local.results import ran_as
    from radii.worker.tasks.environment import configure, provenance, resolve_device

    whole = [row for row in rows if row.error is None]
    if not whole:
        raise CommandError("The file holds no certificate without an error: there is no noise to draw again.")
    beyond = next((row.index for row in whole if row.index >= len(data)), None)
    if beyond is not None:
        raise CommandError(f"The file has index {beyond}, and the data set only {len(data):,} inputs.")
    chosen = random.Random(seed).sample(whole, min(inputs, len(whole)))
    place, (execution, machine) = resolve_device(device), ran_as(file)
    if machine is None:
        note(
            f"Nothing beside {file} (its .run.json, or the job's report.json) tells how its counts were drawn: where they "
            "differ, they are compared by a test, which sees small differences less well than equality does."
        )
    configure({"threads": 1} | execution)
    stored = {row.index: row for row in chosen}
    run = NoiseRun(
        spec=_spec_of(chosen[0]),
        model=model.to(place),
        num_classes=data.num_classes,
        data=data,
        chosen=range(len(data)),
        batch_size=execution.get("batch_size"),
        compiled=bool(execution.get("compiled")),
    )
    drawn = [verify.DrawnInput(index=row.index, n0=row.n0, n=row.n, alpha=row.alpha, label=row.label) for row in chosen]
    audit = RedrawComparison(len(chosen), exact=machine == provenance(place))
    note(f"Drawing the noise of {len(chosen)} inputs again.")
    with bar("verify") as progress:
        for record in verify.records(run, drawn):
            if isinstance(record, Certificate):
                audit.look_at(stored[record.index], record)
            looked_at = audit.findings.looked_at
            progress.show(looked_at, len(chosen), f"{looked_at:,} of {len(chosen):,} inputs")
    return audit.to_json()


def _spec_of(row: "Certificate") -> "CertifySpec":
    """What determines the votes of a certificate; how many they are is not asked again."""
    from radii.rs_core.specs.jobs import CertifySpec, parse_spec

    names = ("sigma", "seed", "bound", "noise", "precision", "robust_weight")
    body = {name: getattr(row, name) for name in names if name != "robust_weight" or row.bound == "mixed"}
    spec = parse_spec({"kind": "certify", "checkpoint": "file", "dataset": "file", **body})
    assert isinstance(spec, CertifySpec)
    return spec
