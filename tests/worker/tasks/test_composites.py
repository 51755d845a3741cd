"""Composites through the whole service: made of stored checkpoints, certified without them, made again after a kill."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests_support import parts
from tests_support.live import killed, running

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.compose import joined
from radii.rs_core.specs.composition import Mixed
from radii.service.client.client import Client
from radii.service.schemas.responses import Checkpoint, Dataset

pytestmark = pytest.mark.long

SOME = {"inputs": {"start": 3, "step": 900}, "n": 200, "sigma": 0.25, "seed": 5}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two classifiers and a denoiser."""
    models, infos = parts.two()
    models, infos = [*models, parts.model(parts.DENOISER, 2)], [*infos, parts.DENOISER]
    return parts.saved(tmp_path_factory.mktemp("parts"), models, infos)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("service") / "data") as (url, _), Client(url) as found:
        yield found


@pytest.fixture(scope="module")
def digits(client: Client) -> Dataset:
    return client.add_dataset("digits", builtin="digits")


def _counts(client: Client, model: Checkpoint, digits: Dataset) -> list[tuple[int, ...]]:
    job = client.certify(checkpoint=model, dataset=digits, **SOME).wait(check=True, timeout=90)
    return [row.counts for row in job.certificates()]


def test_a_mix_is_certified_when_its_parts_are_deleted_and_gets_the_votes_of_the_one_that_counts(
    client: Client, digits: Dataset, files: list[Path], tmp_path: Path
) -> None:
    standard, robust = (client.add_checkpoint(path.stem, path) for path in files[:2])
    votes = _counts(client, robust, digits)
    made = client.compose("mix", "mixed", [standard, robust.id], robust_weight=1.0, standard_scale=2.0)
    for part in (standard, robust):
        client.delete(part)
    assert _counts(client, made, digits) == votes
    assert made.architecture == "mixed(digits_cnn, digits_cnn)"
    assert made.parts is not None
    assert [(part.id, part.sha256) for part in made.parts] == [(row.id, row.sha256) for row in (standard, robust)]
    client.http.download(f"/v1/blobs/{made.sha256}", tmp_path / "mix.safetensors")
    model, info = checkpoint.load(tmp_path / "mix.safetensors")
    wanted, _ = joined(Mixed(robust_weight=1.0, standard_scale=2.0), *parts.two())
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in wanted.state_dict().items())
    assert [part.file_sha256 for part in info.parts] == [standard.sha256, robust.sha256]


def test_a_composite_of_a_composite_is_certified_and_audited(
    client: Client, digits: Dataset, files: list[Path]
) -> None:
    one, denoiser = (client.add_checkpoint(path.stem, path) for path in files[1:])
    assert (denoiser.role, denoiser.num_classes) == ("denoiser", None)
    made = client.compose("all", "ensemble", [client.compose("clear", "denoised", [denoiser, one]), one])
    assert made.architecture == "ensemble(denoised(dncnn, digits_cnn), digits_cnn)"
    job = client.certify(checkpoint=made, dataset=digits, **SOME).wait(check=True, timeout=90)
    audit = client.verify(job, inputs=2).wait(check=True, timeout=90)
    assert audit.info.output is not None and audit.info.output["sound"]
    assert job.report().model["composition"] == {"kind": "ensemble"}


@pytest.mark.slow
def test_a_composition_that_was_killed_is_made_by_the_next_worker(files: list[Path], tmp_path: Path) -> None:
    short = {"RADII_LEASE": "3", "RADII_HOUSEKEEPING_SECONDS": "0.5"}
    with killed(tmp_path / "data", **short) as (url, _), Client(url) as client:
        pair = [client.add_checkpoint(path.stem, path) for path in files[:2]]
        waiting = client.compose("both", "ensemble", pair, wait=False)
        assert waiting.state == "pending"
        for part in pair:
            client.delete(part)
    with running(tmp_path / "data", **short) as (url, _), Client(url) as client:
        assert waiting.job is not None
        client.job(waiting.job).wait(check=True, timeout=90)
        made = client.checkpoint(waiting.id)
        assert (made.state, made.architecture) == ("ready", "ensemble(2 x digits_cnn)")
