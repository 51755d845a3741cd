"""An evaluate task as a child does it: signs of life, rows, and what is left of a shard that was cut."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from tests_support import things

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.data import dataset_file
from radii.rs_core.data.builtin import digits
from radii.worker.kinds.evaluate import EVALUATE
from radii.worker.store.blobs import blob_files
from radii.worker.tasks import noise_job
from radii.worker.tasks.task import Task

ATTACK = {"name": "attack", "epsilons": [0.0, 0.5], "steps": 4, "m": 2, "n": 200}
SEARCH = {"name": "over_confidence", "lengths": [0.0, 0.5], "step_size": 0.25, "m": 2, "n": 100}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    paths = {"dataset": blob_files.new_path(tmp_path), "checkpoint": blob_files.new_path(tmp_path)}
    dataset_file.save(digits(), paths["dataset"])
    checkpoint.save(things.model(), things.INFO, paths["checkpoint"])
    sealed = {name: blob_files.seal_file(path) for name, path in paths.items()}
    for found in sealed.values():
        blob_files.place(tmp_path, found)
    return {name: found.sha256 for name, found in sealed.items()}


def messages(root: Path, files: dict[str, str], evaluation: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    spec = {"kind": "evaluate", "checkpoint": "c", "dataset": "d", "sigma": 0.25, "seed": 3, "evaluation": evaluation}
    spec |= {"inputs": {"start": 1_500, "count": 4}}
    body = {
        "kind": "evaluate",
        "task": EVALUATE.task,
        "records": EVALUATE.records,
        "spec": spec,
        "execution": {"threads": 1},
        "blobs": str(root),
        "files": files,
    }
    body |= {"first": 0, "stop": 4, "done": [], "progress": None, "resume": None, "limits": {}} | fields
    return list(noise_job.run(Task.read(body, torch.device("cpu"))))


def rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message | {"seconds": 0.0} for message in found if message["type"] == "record"]


@pytest.mark.parametrize("evaluation", [ATTACK, SEARCH])
def test_each_input_is_begun_and_found(tmp_path: Path, files: dict[str, str], evaluation: dict[str, Any]) -> None:
    found = messages(tmp_path, files, evaluation)
    assert found[-1] == {"type": "done"}
    assert [row["index"] for row in rows(found)] == [1_500, 1_501, 1_502, 1_503]
    begun = [message for message in found if message["type"] == "progress"]
    assert {message["index"] for message in begun} == {1_500, 1_501, 1_502, 1_503}
    assert all(message["votes"] == {} for message in begun), "an unfinished input is begun anew"
    assert all(row["found"][0]["distance"] == 0 < row["found"][1]["distance"] <= 0.5001 for row in rows(found))


def test_a_shard_that_was_cut_gives_the_rows_that_are_missing(tmp_path: Path, files: dict[str, str]) -> None:
    whole = rows(messages(tmp_path, files, ATTACK))
    rest = rows(messages(tmp_path, files, ATTACK, done=[1_500, 1_502]))
    assert rest == [whole[1], whole[3]]


def test_memory_that_forced_fewer_copies_gives_the_same_rows(tmp_path: Path, files: dict[str, str]) -> None:
    whole = rows(messages(tmp_path, files, ATTACK))
    few = rows(messages(tmp_path, files, ATTACK, resume={"rows": 1}))
    assert [[at["prediction"] for at in row["found"]] for row in few] == [
        [at["prediction"] for at in row["found"]] for row in whole
    ]


def test_a_shard_that_is_asked_to_stop_is_never_said_to_be_done(tmp_path: Path, files: dict[str, str]) -> None:
    asked = threading.Event()
    asked.set()
    assert messages(tmp_path, files, ATTACK, asked_to_stop=asked)[-1] == {"type": "stopped"}
