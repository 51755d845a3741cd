"""Draws the noise of certificates again, from the streams that they name, and counts the votes anew."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from torch import Tensor

from radii.rs_core.certify import engine
from radii.rs_core.certify.engine import Input, Progress
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.records import Certificate


def redraw(
    sampler: Sampler,
    inputs: Iterable[tuple[Input, Certificate | Procedure]],
    standard: Callable[[Tensor], tuple[float, ...]] | None = None,
) -> Iterator[Progress | Certificate]:
    """Certificates of the same inputs, with as many samples in each stage as theirs have. What decided on their number is not
    asked again.

    Each input comes with its certificate, or with a procedure whose ``n0`` and ``n`` are those of the certificate. The sampler
    has their noise level, noise, precision and seed; ``standard`` is as in ``engine``.
    """
    for given, row in inputs:
        procedure = Procedure(
            sigma=row.sigma, n0=row.n0, n=row.n, alpha=row.alpha, bound=row.bound, robust_weight=row.robust_weight
        )
        for record in engine.certify(sampler, [given], procedure, standard=standard):
            yield record if isinstance(record, Progress) else replace(record, sampling=row.sampling, radii=row.radii)
