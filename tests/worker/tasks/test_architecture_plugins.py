"""A network that the operator adds, through the whole service: listed, checked, trained, certified, uploaded; and one
that cannot be built fails its job with a sentence."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests_support.live import running

from radii.rs_core.models import registry
from radii.service.client.client import Client
from radii.worker.loop import CannotStart, WorkerSlot
from radii.worker.settings import Settings
from radii.worker.store import schema_version
from radii.worker.store.database import Database

pytestmark = pytest.mark.long

NETS = """
import os

import torch
from torch import nn

print('{"type": "done"}')  # what it prints is for people, and no answer of the processes that import it


def one_layer(num_classes, input_shape):
    print("building")
    os.write(1, b'{"type": "failed"}')
    channels, height, width = input_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, num_classes))


def nothing(num_classes, input_shape):
    return None


class Huge(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)) + (torch.empty(1 << 50) if len(x) > 4 else 0)


def huge(num_classes, input_shape):
    return Huge(64, num_classes)
"""
ROWS = """
[one_layer]
builder = "registered_digits_nets:one_layer"
channels = 1
head = "1"
description = "one linear layer, for greyscale images of any size"
reference = "a test"

[huge]
builder = "registered_digits_nets:huge"
input_shape = [1, 8, 8]
description = "no memory is large enough for it, but for a few images"

[nothing]
builder = "registered_digits_nets:nothing"
input_shape = [1, 8, 8]
description = "no network"
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nets")
    (folder / "registered_digits_nets.py").write_text(NETS)
    (folder / "architectures.toml").write_text(ROWS)
    return folder / "architectures.toml"


@pytest.fixture(scope="module")
def client(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("service")
    with running(folder / "data", RADII_ARCHITECTURES=str(file)) as (url, _), Client(url) as found:
        yield found


def test_the_list_says_where_each_network_comes_from(client: Client) -> None:
    items = {item["name"]: item for item in client.http.items("/v1/architectures")}
    assert items["one_layer"] == {
        "name": "one_layer",
        "source": "registered",
        "input_shape": None,
        "channels": 1,
        "smallest_side": 1,
        "side_multiple": 1,
        "square": False,
        "role": "classifier",
        "description": "one linear layer, for greyscale images of any size",
        "reference": "a test",
    }
    assert items["lenet"]["source"] == "ours"
    assert (items["torchvision/vit_b_16"]["source"], items["torchvision/vit_b_16"]["side_multiple"]) == (
        "torchvision",
        16,
    )


def test_it_is_trained_certified_and_its_weights_are_read_again(client: Client, tmp_path: Path) -> None:
    digits = client.add_dataset("digits", builtin="digits")
    common = {"inputs": {"count": 200}, "batch_size": 50, "sigma": 0.25}
    job = client.train(dataset=digits, architecture="one_layer", epochs=2, loader_processes=1, **common).wait(
        check=True
    )
    trained = client.checkpoint(str(job.info.checkpoint))
    assert (trained.architecture, trained.input_shape) == ("one_layer", [1, 8, 8])
    client.certify(checkpoint=trained, dataset=digits, n=100, inputs={"count": 5}).wait(check=True)
    torch.save({"1.weight": torch.ones(10, 64), "1.bias": torch.zeros(10)}, tmp_path / "mine.pt")
    mine = client.add_checkpoint(
        "mine", tmp_path / "mine.pt", architecture="one_layer", input_shape=[1, 8, 8], sigma=0.25
    )
    assert (mine.state, mine.num_classes) == ("ready", 10)


def test_a_builder_that_gives_no_network_fails_the_job_with_a_sentence(client: Client) -> None:
    digits = client.add_dataset("digits", builtin="digits")
    job = client.train(dataset=digits, architecture="nothing", sigma=0.25, epochs=1, inputs={"count": 10}).wait()
    assert job.info.state == "failed"
    assert job.info.problem is not None
    assert job.info.problem.detail == (
        "The architecture cannot be built (nothing, registered_digits_nets:nothing): "
        "expected a torch.nn.Module, got a NoneType."
    )


def test_a_training_that_does_not_fit_into_memory_goes_on_with_the_activations_of_fewer_images(client: Client) -> None:
    digits = client.add_dataset("digits", builtin="digits")
    job = client.train(
        dataset=digits, sigma=0.25, inputs={"count": 10}, architecture="huge", epochs=1, batch_size=10
    ).wait()
    assert job.state == "succeeded"
    assert job.info.execution is not None and job.info.execution["forward_batch"] == 2
    told = [event.data["forward_batch"] for event in job.events() if event.type == "smaller_batch"]
    assert told == [5, 2]


@pytest.mark.parametrize("asked", [{}, {"batch_size": 100}])
def test_a_certification_takes_the_batch_that_fits_into_memory(
    client: Client, tmp_path: Path, asked: dict[str, int]
) -> None:
    """The network has room for four images; the batches that are tried are fractions of a part of a stream."""
    digits = client.add_dataset("digits", builtin="digits")
    torch.save({"weight": torch.ones(10, 64), "bias": torch.zeros(10)}, tmp_path / "huge.pt")
    uploaded = client.add_checkpoint("huge", tmp_path / "huge.pt", architecture="huge", num_classes=10)
    job = client.certify(checkpoint=uploaded, dataset=digits, n=100, sigma=0.25, inputs={"count": 10}, **asked).wait()
    assert job.state == "succeeded"
    assert job.info.execution is not None
    assert job.info.execution["batch_size"] == 2


def test_a_file_that_is_not_sound_keeps_a_worker_from_starting(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[mine]\n")
    settings = Settings(data=tmp_path, architectures=tmp_path / "bad.toml", device="cpu")
    database = Database(settings.url)
    schema_version.migrate(database.engine)
    try:
        with pytest.raises(
            CannotStart, match=r"RADII_ARCHITECTURES cannot be used: .* \(mine in bad\.toml\): expected"
        ):
            WorkerSlot(settings, database).start()
    finally:
        registry.use(None)
        database.close()
