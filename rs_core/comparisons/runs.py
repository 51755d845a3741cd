"""Runs to compare, made of what a certification was asked for and the certificates that it gave."""

from collections.abc import Sequence

from radii.rs_core.certify.procedure import procedure_of
from radii.rs_core.comparisons.alignment import Run
from radii.rs_core.records import Certificate
from radii.rs_core.reports.certification import denominator
from radii.rs_core.reports.certification_of_spec import facts_asked, growing
from radii.rs_core.results.aggregate import Columns, columns
from radii.rs_core.results.photographs import Photographs
from radii.rs_core.specs.jobs import CertifySpec


def run_asked(
    name: str,
    rows: Columns,
    spec: CertifySpec,
    *,
    total: int,
    unfinished: int = 0,
    data: str | None = None,
    photographs: Photographs | None = None,
) -> Run:
    """A run of rows that ``spec``, which has a noise level, asked for, on ``total`` inputs; ``unfinished`` of them are still to
    get more samples, ``data`` is the content hash of its dataset, ``photographs`` which of its images show the same one."""
    return Run(
        name=name,
        rows=rows,
        total=denominator(rows, total),
        facts=facts_asked(spec, total),
        cap=procedure_of(spec, inputs=total).cap,
        settled=spec.radii or (),
        unfinished=unfinished,
        data=data,
        photographs=photographs,
    )


def run_of_certificates(
    name: str,
    certificates: Sequence[Certificate],
    spec: CertifySpec,
    *,
    total: int,
    data: str | None = None,
    photographs: Photographs | None = None,
) -> Run:
    """The same of certificates, in any order."""
    rows, unfinished = columns(certificates), growing(certificates, spec)
    return run_asked(name, rows, spec, total=total, unfinished=unfinished, data=data, photographs=photographs)
