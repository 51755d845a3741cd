"""How often a classifier under noise agrees with itself without noise, on each chosen input."""

from collections.abc import Iterator

import torch

from radii.rs_core.certify import engine
from radii.rs_core.certify.engine import Progress
from radii.rs_core.records import Agreement
from radii.rs_core.runs.noise_run import NoiseRun
from radii.rs_core.specs.jobs import AgreementSpec


def records(run: NoiseRun[AgreementSpec]) -> Iterator[Progress | Agreement]:
    """One record for each input, and the votes on the way."""
    spec = run.spec
    votes = engine.predict(
        run.sampler(), run.inputs(), n=spec.n, alpha=0.5, resume=run.unfinished, alone=run.alone, stop=run.stop
    )
    for vote in votes:
        if isinstance(vote, Progress):
            yield vote
            continue
        plain = _plain(run, vote.index)
        yield Agreement(
            index=vote.index,
            label=vote.label,
            plain=plain,
            agreeing=vote.counts[plain],
            n=vote.n,
            seed=vote.seed,
            seconds=vote.seconds,
            batch_size=vote.batch_size,
        )


@torch.no_grad()
def _plain(run: NoiseRun[AgreementSpec], index: int) -> int:
    image = run.data.image(index).to(next(run.model.parameters()).device)
    return int(run.model(image[None]).argmax())
