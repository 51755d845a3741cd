"""The noise of some certificates drawn again, from the streams that they name, and the votes counted anew."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from radii.rs_core.certify import engine
from radii.rs_core.certify.engine import Progress
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.records import Certificate
from radii.rs_core.runs.noise_run import NoiseRun
from radii.rs_core.specs.jobs import CertifySpec


@dataclass(frozen=True, kw_only=True)
class DrawnInput:
    """What an audited certificate says of how many samples it has; ``label``: its own, where that is not to be the dataset's."""

    index: int
    n0: int
    n: int
    alpha: float
    label: int | None = None


def records(run: NoiseRun[CertifySpec], drawn: Iterable[DrawnInput]) -> Iterator[Progress | Certificate]:
    """Certificates with as many samples in each stage as the audited ones have; what decided on their number is not asked again.

    ``run`` has the audited specification.
    """
    spec = run.spec
    assert spec.sigma is not None
    sampler, standard = run.sampler(), run.standard()
    for each in drawn:
        if each.index in run.done:
            continue
        label = int(run.data.labels[each.index]) if each.label is None else each.label
        procedure = Procedure(
            sigma=spec.sigma,
            n0=each.n0,
            n=each.n,
            alpha=each.alpha,
            bound=spec.bound,
            robust_weight=spec.robust_weight,
        )
        given = each.index, run.data.image(each.index), label
        for record in engine.certify(sampler, [given], procedure, standard=standard):
            yield record if isinstance(record, Progress) else replace(record, sampling=spec.sampling)
