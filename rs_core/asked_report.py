"""The report of certificates by what was asked for: its radii, its cap, and what holds of them together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rs_core.certify.decision import Certificate
from rs_core.certify.procedure import procedure_of
from rs_core.corruption_report import Grouped
from rs_core.procedure_text import guarantee_note
from rs_core.report import Report, summarize
from rs_core.spec import CertifySpec, parse_spec
from rs_core.tally import grid, radii_up_to


def summarize_asked(
    certificates: Sequence[Certificate],
    spec: CertifySpec,
    *,
    total: int,
    radii: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    pixels: int | None = None,
    grouped: Grouped | None = None,
) -> Report:
    """The report of a run's certificates; ``spec``, which has a noise level, is what the run was asked for, on ``total``
    inputs. ``radii``: another grid than the radii asked for, or a round one. Raises as :func:`summarize` does."""
    procedure = procedure_of(spec, inputs=total)
    growing = [row for row in certificates if row.counts and row.n < spec.n] if spec.sampling == "anytime" else []
    report = summarize(
        certificates,
        radii=radii_of(spec, procedure.cap) if radii is None else radii,
        total=total,
        cap=procedure.cap,
        class_names=class_names,
        pixels=pixels,
        unfinished=len(growing),
        grouped=grouped,
    )
    return replace(report, notes=report.notes + together(spec, total))


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
