"""`radii evaluate` on this machine: what it writes and prints, how it goes on, and certificates held against it."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests_support import things
from tests_support.cli import done, refused

from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.results import codec, ndjson

TINY = ["--dataset", "digits", "--device", "cpu", "--threads", "1", "--start", "1500", "--count", "5", "--seed", "2"]
ATTACK = ["--at", "0,0.5,1", "--steps", "5", "--m", "4", "--n", "300"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    checkpoint.save(things.model(), things.INFO, path)
    return path


def rows(out: Path) -> list[dict[str, Any]]:
    """What was found, without times."""
    return [codec.to_json(row) | {"seconds": 0} for row in ndjson.read_ndjson(out.with_suffix(".ndjson"))]


def test_an_attack_is_written_reported_and_drawn(model: Path, tmp_path: Path) -> None:
    out, plot = tmp_path / "attack.tsv", tmp_path / "attack.png"
    text = done("evaluate", "attack", *TINY, *ATTACK, "--checkpoint", model, "--out", out).stdout
    assert [row["index"] for row in rows(out)] == [1500, 1501, 1502, 1503, 1504]
    assert len(out.read_text().splitlines()) == 1 + 5 * 3
    again = done("report", out.with_suffix(".ndjson"), "--plot", plot)
    assert again.stdout == text and plot.read_bytes().startswith(b"\x89PNG")
    figures = json.loads(done("report", out.with_suffix(".ndjson"), "--json").stdout)
    assert [at["point"] for at in figures["points"]] == [0.0, 0.5, 1.0]


def test_a_run_that_was_cut_goes_on_and_ends_the_same(model: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.tsv", tmp_path / "cut.tsv"
    for out in (whole, cut):
        done("evaluate", "over-confidence", *TINY, "--at", "0,1", "--n", "100", "--checkpoint", model, "--out", out)
    evidence = cut.with_suffix(".ndjson")
    evidence.write_text("".join(evidence.read_text().splitlines(keepends=True)[:2]) + '{"index": 15')
    command = ["evaluate", "over-confidence", *TINY, "--at", "0,1", "--n", "100", "--checkpoint", model, "--out", cut]
    assert "2 of 5 inputs have their result" in done(*command).stderr
    assert rows(cut) == rows(whole)


def test_certificates_of_the_same_model_are_held_against_an_attack(model: Path, tmp_path: Path) -> None:
    certified, out = tmp_path / "certified.tsv", tmp_path / "attack.tsv"
    done("certify", *TINY, "--n", "1000", "--checkpoint", model, "--out", certified)
    command = ["evaluate", "attack", *TINY, *ATTACK, "--checkpoint", model, "--out", out, "--certificates", certified]
    text = done(*command).stdout
    assert "Answers within a certified radius" in text
    assert done("report", out.with_suffix(".ndjson"), "--certificates", certified).stdout == text
    assert done("report", out.with_suffix(".ndjson")).stdout == text, "the run's own certificates are found again"
    rounded = tmp_path / "rounded.tsv"
    done("certify", *TINY, "--n", "1000", "--precision", "bf16", "--checkpoint", model, "--out", rounded)
    assert "made as fixed n, bf16" in refused(*command[:-1], rounded)
    assert "there is no" in refused(*command[:-1], tmp_path / "nothing.tsv")
    elsewhere = ["--start" if at == "--start" else "1600" if at == "1500" else at for at in command]
    assert "of inputs that are attacked (1,600 to 1,604)" in refused(
        *elsewhere[:-4], *elsewhere[-2:], "--out", tmp_path / "e.tsv"
    )
    other = tmp_path / "other.tsv"
    done("certify", *TINY, "--n", "1000", "--sigma", "0.5", "--checkpoint", model, "--out", other)
    assert "certificates of sigma = 0.25" in refused(*command[:-1], other)


def test_autoattack_asks_the_classifier_without_noise(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "auto.tsv"
    quick = ["--set", "evaluation.iterations=3", "--set", "evaluation.queries=10", "--epsilon", "0.2"]
    text = done("evaluate", "autoattack", *TINY, *quick, "--checkpoint", model, "--out", out).stdout
    assert "without noise" in text and [at["point"] for at in rows(out)[0]["found"]] == [0.0, 0.2]


def test_mistakes_are_one_sentence(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tsv"
    said = refused("evaluate", "attack", *TINY, "--at", "1,0.5", "--checkpoint", model, "--out", out)
    assert "values that grow" in said
    asked = ["--checkpoint", model, "--out", out]
    assert "got" in refused("evaluate", "attack", *TINY, "--epsilon", "1", *asked, code=2)
    assert "got --at" in refused("evaluate", "autoattack", *TINY, "--at", "1", *asked, code=2)
    of_another = refused("evaluate", "over-confidence", *TINY, "--norm", "l2", *asked, code=2)
    assert "got --norm" in of_another and "autoattack" in of_another
    assert "(--at)" in refused("evaluate", "attack", *TINY, "--at", "near", *asked)
    assert "attack" in refused("evaluate", "accuracy", *TINY, "--checkpoint", model, "--out", out)
