"""The noise of some certificates drawn again, as the audited job drew it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from radii.rs_core.certify.engine import Input, Progress
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.replay import redraw
from radii.rs_core.records import Certificate
from radii.rs_core.runs.noise_run import NoiseRun
from radii.rs_core.specs.jobs import CertifySpec


def records(run: NoiseRun, drawn: Sequence[Mapping[str, Any]]) -> Iterator[Progress | Certificate]:
    """Certificates with as many samples as the audited ones have.

    ``drawn`` says of each audited certificate its ``index``, ``n0``, ``n`` and ``alpha``; ``run`` has the audited specification.
    """
    return redraw(run.sampler(), _audited(run, drawn), run.standard())


def _audited(run: NoiseRun, drawn: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Input, Procedure]]:
    """The inputs that are not drawn again yet, each with the procedure that its certificate names."""
    spec = run.spec
    assert isinstance(spec, CertifySpec) and spec.sigma is not None
    procedure = Procedure(
        sigma=spec.sigma,
        sampling=spec.sampling,
        radii=spec.radii or (),
        bound=spec.bound,
        robust_weight=spec.robust_weight,
    )
    for row in drawn:
        index = row["index"]
        if index in run.done:
            continue
        drawn_by = replace(procedure, n0=row["n0"], n=row["n"], alpha=row["alpha"])
        yield (index, run.data.image(index), int(run.data.labels[index])), drawn_by
