"""Builds a report from certificates and the specification that produced them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from radii.rs_core.certify.procedure import procedure_of
from radii.rs_core.records import Certificate
from radii.rs_core.reports.certification import Report, SharedParameters, summarize
from radii.rs_core.reports.corruptions import CorruptionGroups
from radii.rs_core.reports.procedure_text import ProcedureSummary, guarantee_note, made_of
from radii.rs_core.results.aggregate import grid, radii_up_to
from radii.rs_core.results.photographs import Photographs
from radii.rs_core.specs.jobs import CertifySpec, parse_spec


def summarize_asked(
    certificates: Sequence[Certificate],
    spec: CertifySpec,
    *,
    total: int,
    radii: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    pixels: int | None = None,
    grouped: CorruptionGroups | None = None,
    photographs: Photographs | None = None,
) -> Report:
    """The report of a run's certificates; ``spec``, which has a noise level, is what the run was asked for, on ``total``
    inputs. ``radii``: another grid than the radii asked for, or a round one. Raises as :func:`summarize` does."""
    procedure = procedure_of(spec, inputs=total)
    report = summarize(
        certificates,
        radii=radii_of(spec, procedure.cap) if radii is None else radii,
        total=total,
        cap=procedure.cap,
        class_names=class_names,
        pixels=pixels,
        unfinished=growing(certificates, spec),
        grouped=grouped,
        photographs=photographs,
    )
    return replace(report, notes=report.notes + together(spec, total))


def growing(certificates: Sequence[Certificate], spec: CertifySpec) -> int:
    """How many hold as they are, and are still to be replaced by ones of more samples."""
    if spec.sampling != "anytime":
        return 0
    return sum(bool(row.counts) and row.n < spec.n for row in certificates)


def facts_asked(spec: CertifySpec, inputs: int) -> SharedParameters:
    """What all certificates of a run on so many inputs share."""
    fixed = {"n0": spec.n0, "n": spec.n} if spec.sampling == "fixed" else {}
    procedure = procedure_of(spec, inputs=inputs)
    return SharedParameters(how=how_of(spec), alpha=procedure.alpha, sigma=procedure.sigma, seed=spec.seed, **fixed)


def how_of(spec: CertifySpec) -> ProcedureSummary:
    """The procedure that is asked for."""
    return made_of(spec)


def radii_of(spec: CertifySpec, cap: float) -> tuple[float, ...]:
    """The radii of a report's table: 0 and those that were asked for, else round ones up to the cap."""
    return grid((0.0, *spec.radii)) if spec.radii else radii_up_to(cap)


def together(spec: CertifySpec, inputs: int) -> tuple[str, ...]:
    """What holds for all inputs at once, where that was asked for."""
    return guarantee_note(spec.alpha, inputs) if spec.guarantee == "dataset" else ()


def spec_of_run(run: Mapping[str, Any]) -> CertifySpec | None:
    """What a local run was asked for, by the record beside its results; None where there is none, or of another kind."""
    try:
        spec = parse_spec({**run["spec"], **run["files"]})
    except (LookupError, TypeError, ValueError):
        return None
    return spec if isinstance(spec, CertifySpec) and spec.sigma is not None else None
