"""``radii plan``: what a certification would take and bring, by procedure, before anything is certified.

It looks at some inputs with noise of its own (another stream than any certification draws from, so that what is decided here
is decided by votes that bound nothing), measures how fast the model runs, and follows each procedure's own rules.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radii.rs_core.errors import InvalidSpec
from radii.service.cli import options as o
from radii.service.cli.job_options import Flags, with_fields_of
from radii.service.cli.specs import listed, spec_of
from radii.service.console import note, say, table

if TYPE_CHECKING:
    from radii.rs_core.certify.forecast import LikelyProbabilities
    from radii.rs_core.certify.procedure import Procedure
    from radii.rs_core.specs.jobs import CertifySpec

VOTES = 500
LOOKED_AT = 20
SAMPLINGS = ("fixed", "pilot", "anytime", "at_radii")
LARGEST = 100_000_000


@with_fields_of("certify", without=("sampling", "seed", "robust_weight", "batch_size"))
def plan(
    flags: Flags,
    spec: o.SpecFile = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=1, help="Time that there is: shows the largest n that fits, by procedure. (default: n as it is)"
        ),
    ] = None,
    look_at: Annotated[int, typer.Option(min=1, help="Inputs to look at, evenly spaced.")] = LOOKED_AT,
    architecture: o.KnownArchitecture = None,
    normalization: o.KnownNormalization = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
) -> None:
    """Show samples, time and expected radius of a certification by each procedure, and certify nothing."""
    from radii.rs_core.specs.jobs import CertifySpec

    asked = spec_of(CertifySpec, spec, {name: value for name, value in flags.items() if name != "radii"})
    hints = {"architecture": architecture, "normalization": normalization}
    look = _looked(asked, look_at, hints=hints, device=device, threads=threads)
    say(_text(look, asked, listed(flags["radii"]) or list(asked.radii or ()), seconds))


@dataclass(frozen=True, kw_only=True)
class PilotObservation:
    """What was seen: the votes of inputs, whether their classes are the labels, the model's rate and number of classes, and
    what is implausible about the answers."""

    sigma: float
    inputs: int
    seen: "Sequence[Sequence[LikelyProbabilities]]"
    correct: Sequence[bool]
    rate: float
    classes: int
    implausible: Sequence[str]


def _looked(
    spec: "CertifySpec", inputs: int, *, hints: dict[str, str | None], device: str, threads: int | None
) -> PilotObservation:
    import torch

    from radii.rs_core.certify import engine
    from radii.rs_core.certify.autotune import measured, tune
    from radii.rs_core.certify.certificates import argmax
    from radii.rs_core.certify.forecast import LikelyProbabilities
    from radii.rs_core.noise.streams import Stage
    from radii.rs_core.records import Prediction
    from radii.rs_core.results.plausibility import implausible, outcome_of
    from radii.service.local.opened_run import run_of
    from radii.worker.tasks.environment import configure, resolve_device

    run, _ = run_of(replace(spec, seed=0), device=device, hints=hints)
    data, chosen, sigma = run.data, run.chosen, run.spec.sigma
    assert sigma is not None
    configure({"threads": threads or torch.get_num_threads()})
    note(f"Looking at {min(inputs, len(chosen))} inputs, {VOTES} votes each.")
    place = resolve_device(device)
    configuration = tune(
        measured(run.model, data.image(chosen[0]).to(place), data.num_classes, precision=spec.precision),
        samples=LARGEST,
        device=place.type,
        may_compile=False,
    )
    run.part, run.batch_size = chosen[:: max(1, len(chosen) // inputs)][:inputs], configuration.batch_size
    votes = engine.predict(run.sampler("one_sided"), run.inputs(), n=VOTES, alpha=0.5, stage=Stage.PLANNING)
    rows = [replace(row, prediction=argmax(row.counts)) for row in votes if isinstance(row, Prediction)]
    return PilotObservation(
        sigma=sigma,
        inputs=len(chosen),
        seen=[LikelyProbabilities.likely(row.counts, row.prediction) for row in rows],
        correct=[row.correct for row in rows],
        rate=configuration.rate,
        classes=data.num_classes,
        implausible=implausible(outcome_of(rows)),
    )


def _text(look: PilotObservation, spec: "CertifySpec", radii: list[float], seconds: float | None) -> str:
    asked = radii or [round(multiple * look.sigma, 4) for multiple in (0.5, 1.0, 1.5)]
    rows, refused, planned = [], [], []
    for sampling in SAMPLINGS:
        try:
            procedure = _fitting(look, _procedure(look, spec, sampling, asked), seconds)
            rows.append([sampling, *_row(look, procedure, seconds)])
            planned.append(procedure)
        except InvalidSpec as error:
            rows.append([sampling, *["–"] * 5])
            refused.append(f"No {sampling}: expected {error.expected}, got {error.got}.")
    shown = table(["sampling", "n", "samples an input", "time", "cap", "expected ACR"], rows)
    head = f"{look.inputs:,} inputs at sigma {look.sigma:g}; {look.rate:,.0f} noise samples a second on this machine."
    radii_shown = ", ".join(f"{radius:g}" for radius in asked)
    settled = [f"at_radii settles the radii {radii_shown}; its ACR is a lower bound, stopped early."]
    tail = "Expected from the votes that were looked at; a long job is compiled and may be faster."
    last = " ".join([*(settled if rows[-1][1] != "–" else []), tail])
    sentences = [*_warnings(look, [one for one in planned if one is not None]), *refused, last]
    return "\n\n".join([head, shown, *(textwrap.fill(sentence, 100) for sentence in sentences)])


def _warnings(look: PilotObservation, planned: "Sequence[Procedure]") -> list[str]:
    """Of procedures that cannot certify any input, and of implausible answers to the inputs that were looked at."""
    from radii.rs_core.results.plausibility import cannot_certify

    named: dict[str, list[str]] = {}
    for procedure in planned:
        if (said := cannot_certify(procedure, look.classes)) is not None:
            named.setdefault(said, []).append(procedure.sampling)
    few = [f"Warning ({', '.join(samplings)}): {said}" for said, samplings in named.items()]
    return [*few, *(f"Warning (the {len(look.seen):,} inputs looked at): {said}" for said in look.implausible)]


def _procedure(look: PilotObservation, spec: "CertifySpec", sampling: Any, radii: list[float]) -> "Procedure":
    """Raises :class:`InvalidSpec` where the bound does not go with the sampling, or the radii are out of reach."""
    from radii.rs_core.certify.procedure import procedure_of

    if spec.bound == "mixed":
        raise InvalidSpec(expected="the one_sided or two_class bound to plan with", got="mixed", where="bound")
    if spec.bound != "one_sided" and sampling in ("at_radii", "anytime"):
        raise InvalidSpec(expected="the one_sided bound with it", got=spec.bound, where="bound")
    chosen = {"sampling": sampling, "radii": tuple(radii) if sampling == "at_radii" else None, "sigma": look.sigma}
    return procedure_of(replace(spec, **chosen), inputs=look.inputs)


def _fitting(look: PilotObservation, procedure: "Procedure", seconds: float | None) -> "Procedure | None":
    """With the largest n that fits into the time, where there is a limit; None where none does."""
    from radii.rs_core.certify.forecast import averaged, largest

    if seconds is None:
        return procedure
    most = seconds * look.rate / look.inputs
    return largest(procedure, lambda tried: averaged(tried, look.seen, look.correct)[0], most)


def _row(look: PilotObservation, procedure: "Procedure | None", seconds: float | None) -> list[str]:
    from radii.rs_core.certify.forecast import averaged
    from radii.rs_core.results.tsv import rounded_down

    if procedure is None:
        return ["–", "–", f"more than {_duration(seconds or 0.0)}", "–", "–"]
    samples, acr = averaged(procedure, look.seen, look.correct)
    cells = [f"{procedure.n:,}", f"{samples:,.0f}", _duration(samples * look.inputs / look.rate)]
    return [*cells, rounded_down(procedure.cap, 4), rounded_down(acr, 3)]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"
