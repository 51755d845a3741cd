"""The noise of some certificates drawn again, as the audited job drew it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from radii.rs_core.certify.engine import Input, Progress
from radii.rs_core.certify.replay import redraw
from radii.rs_core.records import ABSTAIN, Certificate
from radii.rs_core.runs.noise_run import NoiseRun
from radii.rs_core.specs.jobs import CertifySpec


def records(run: NoiseRun[CertifySpec], drawn: Sequence[Mapping[str, Any]]) -> Iterator[Progress | Certificate]:
    """Certificates with as many samples as the audited ones have.

    ``drawn`` says of each audited certificate its ``index``, ``n0``, ``n`` and ``alpha``; ``run`` has the audited specification.
    """
    return redraw(run.sampler(), _audited(run, drawn), run.standard())


def _audited(run: NoiseRun[CertifySpec], drawn: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Input, Certificate]]:
    """The inputs that are not drawn again yet, each with what its certificate says of how it was drawn."""
    spec = run.spec
    assert spec.sigma is not None
    for row in drawn:
        index = row["index"]
        if index in run.done:
            continue
        label = int(run.data.labels[index])
        certificate = Certificate(
            index=index,
            label=label,
            prediction=ABSTAIN,
            radius=0.0,
            p_lower=0.0,
            counts0=(),
            counts=(),
            n0=row["n0"],
            n=row["n"],
            sigma=spec.sigma,
            alpha=row["alpha"],
            seed=spec.seed,
            sampling=spec.sampling,
            bound=spec.bound,
            robust_weight=spec.robust_weight,
        )
        yield (index, run.data.image(index), label), certificate
