"""`radii verify` on files: the noise of their certificates is drawn again as they say that it was drawn."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests_support import mixes, things
from tests_support.cli import done, radii

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.data.builtin import digits

WAYS = {
    "two classes": ("model", "--bound", "two_class", "--sampling", "pilot"),
    "discrete": ("model", "--noise", "discrete"),
    "bf16": ("model", "--sampling", "anytime", "--precision", "bf16"),
    "radii": ("model", "--sampling", "at_radii", "--radii", "0.1,0.2"),
    "mixed": ("mix", "--bound", "mixed", "--robust-weight", "0.7"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a mix and images of 8 bits."""
    folder, data = tmp_path_factory.mktemp("files"), digits()
    checkpoint.save(things.model(), things.INFO, folder / "model.safetensors")
    checkpoint.save(*mixes.constant(), folder / "mix.safetensors")
    pixels = (np.asarray(data.images[:20], dtype=np.float64) * (255 if data.images.dtype.kind == "f" else 1)).round()
    np.savez(folder / "data.npz", images=pixels.astype(np.uint8), labels=data.labels[:20])
    return folder


def certified(files: Path, out: Path, model: str, *flags: str) -> list[str]:
    """Certifies five inputs, and what `radii verify` takes for them."""
    given = [
        "--checkpoint",
        str(files / f"{model}.safetensors"),
        "--dataset",
        str(files / "data.npz"),
        "--device",
        "cpu",
    ]
    done("certify", *given, "--threads", "1", "--count", "5", "--n", "300", "--seed", "7", "--out", out, *flags)
    return [*given, "--json"]


@pytest.mark.parametrize("way", WAYS)
def test_counts_are_drawn_again_by_what_the_certificates_say(files: Path, tmp_path: Path, way: str) -> None:
    out, alone = tmp_path / "out.ndjson", tmp_path / "alone" / "out.ndjson"
    given = certified(files, out.with_suffix(".tsv"), *WAYS[way])
    redrawn = json.loads(done("verify", out, *given).stdout)["redrawn"]
    assert (redrawn["looked_at"], redrawn["equal"], redrawn["compared_by"]) == (5, 5, "equality")
    alone.parent.mkdir()
    shutil.copy(out, alone)
    redrawn = json.loads(done("verify", alone, *given, "--inputs", "3").stdout)["redrawn"]
    assert (redrawn["looked_at"], redrawn["equal"]) == (3, 3) and redrawn["compared_by"].startswith("Fisher")


def test_a_label_that_is_not_the_datasets_is_one_fault(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    given = certified(files, out.with_suffix(".tsv"), "model")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    rows[2]["label"] = (rows[2]["label"] + 1) % 10
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = json.loads(radii("verify", out, *given).stdout)
    assert (found["sound"], found["recomputed"]["wrong"], found["redrawn"]["equal"]) == (False, 1, 5)
