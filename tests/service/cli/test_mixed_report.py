"""A mix that is certified as one, on this machine and by a service's plan: votes, weights, audit, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests_support import mixes, parts, things
from tests_support.cli import done, refused
from tests_support.over_http import Service

from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint_info import dump_info
from radii.rs_core.checkpoints.compose import joined
from radii.rs_core.data.builtin import digits
from radii.rs_core.results import ndjson
from radii.rs_core.specs.composition import Mixed

TINY = ["--dataset", "digits", "--device", "cpu", "--threads", "1", "--start", "1500", "--count", "6"]
SAMPLES = ["--n", "500", "--n0", "50", "--seed", "4"]


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """An untrained standard classifier, and a robust one that knows digits."""
    models, infos = parts.two()
    return parts.saved(tmp_path, [models[0], things.model()], [infos[0], things.INFO])


@pytest.fixture
def mix(two: list[Path], tmp_path: Path) -> Path:
    out = tmp_path / "mix.safetensors"
    done("compose", "mixed", *two, "--robust-weight", "0.8", "--standard-scale", "2", "--out", out)
    return out


def certified(model: Path, out: Path, *more: str) -> list[Any]:
    done("certify", *TINY, *SAMPLES, "--checkpoint", model, "--out", out, *more)
    return list(ndjson.read_ndjson(out.with_suffix(".ndjson")))


def test_the_votes_are_the_robust_classifiers_and_the_other_is_asked_beside(
    two: list[Path], mix: Path, tmp_path: Path
) -> None:
    alone = certified(two[1], tmp_path / "alone.tsv")
    mixed = certified(mix, tmp_path / "mixed.tsv", "--bound", "mixed")
    assert [(row.counts0, row.counts) for row in mixed] == [(row.counts0, row.counts) for row in alone]
    assert {row.robust_weight for row in mixed} == {0.8}
    standard = checkpoint.load(two[0])[0]
    with torch.inference_mode():
        said = (2 * standard(digits().image(mixed[0].index)[None]).double()).softmax(1)[0]
    assert mixed[0].standard == pytest.approx(said.tolist(), abs=1e-6)


def test_a_weight_of_one_is_the_robust_classifier_by_the_two_class_bound(
    two: list[Path], mix: Path, tmp_path: Path
) -> None:
    alone = certified(two[1], tmp_path / "alone.tsv", "--bound", "two_class")
    whole = certified(mix, tmp_path / "whole.tsv", "--bound", "mixed", "--robust-weight", "1")
    assert [(row.prediction, row.p_lower, row.p_upper) for row in whole] == [
        (row.prediction, row.p_lower, row.p_upper) for row in alone
    ]
    assert [row.radius for row in whole] == pytest.approx([row.radius for row in alone])


def test_a_report_shows_the_trade_off_and_an_audit_finds_nothing(mix: Path, tmp_path: Path) -> None:
    out = tmp_path / "mixed.tsv"
    rows = certified(mix, out, "--bound", "mixed")
    text = done("report", out.with_suffix(".ndjson")).stdout
    assert "mix of robust weight 0.8" in text and "by the weight of the robust classifier" in text
    weights = json.loads(done("report", out.with_suffix(".ndjson"), "--json").stdout)["weights"]
    own = next(row for row in weights if row["robust_weight"] == 0.8)
    assert own["accuracy"]["count"] == sum(row.correct for row in rows)
    assert "mix_certified_by_lipschitz,1 at 0" in done("report", out.with_suffix(".ndjson"), "--csv").stdout
    done("verify", out.with_suffix(".ndjson"), "--checkpoint", mix, "--dataset", "digits", "--device", "cpu")


def test_mixes_at_two_noise_levels_stand_beside_each_other(mix: Path, tmp_path: Path) -> None:
    files = []
    for sigma in ("0.25", "0.5"):
        files.append((tmp_path / f"at-{sigma}.tsv").with_suffix(".ndjson"))
        certified(mix, files[-1].with_suffix(".tsv"), "--bound", "mixed", "--sigma", sigma)
    plot = tmp_path / "weights.png"
    shown = ["--weights", "0.6,0.8,1", "--radii", "0,0.25"]
    found = json.loads(done("report", *files, *shown, "--json", "--plot", plot).stdout)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert list(found) == ["at-0.25, σ = 0.25", "at-0.5, σ = 0.5"]
    alone = json.loads(done("report", files[1], "--json", "--radii", "0,0.25").stdout)["weights"]
    assert found["at-0.5, σ = 0.5"] == [row for row in alone if row["robust_weight"] in (0.6, 0.8, 1.0)]
    assert "at-0.25, σ = 0.25" in done("report", *files, *shown).stdout
    table = done("report", *files, *shown, "--csv").stdout.splitlines()
    assert table[0].startswith("certification,") and len(table) == 1 + 2 * (1 + 3 * (3 + 2 + 2))
    default = json.loads(done("report", *files, "--weights", "0.8", "--json").stdout)
    drawn = json.loads(done("report", *files, "--weights", "0.8", "--json", "--plot", plot).stdout)
    assert drawn == default, "a plot changes no table"
    step, last = (default["at-0.25, σ = 0.25"][0]["certified"][place]["radius"] for place in (1, -1))
    largest = Procedure(sigma=0.25, n=500, alpha=0.001, bound="mixed", robust_weight=1.0).cap
    assert last <= largest < last + step
    assert "finite and at least 0" in refused("report", *files, "--weights", "0.8", "--radii", "nan,0.25")
    assert "files that differ" in refused("report", files[0], files[0], "--weights", "0.8")
    assert "--weights and --certificates" in refused("report", files[0], "--corruptions", "--weights", "0.8", code=2)
    assert "weights joined by commas" in refused("report", *files, "--weights", "much", code=2)
    assert "weights from 0 to 1" in refused("report", *files, "--weights", "2")


def test_a_service_draws_a_mix_by_its_weight(service: Service) -> None:
    model = service.checkpoint(info=dump_info(mixes.constant(0.7)[1]))
    job_id = service.submitted(checkpoint=model, bound="mixed")
    job = service.client.get(f"/v1/jobs/{job_id}").json()
    answer = service.client.get(job["links"]["weights"])
    assert answer.status_code == 200 and answer.content.startswith(b"<?xml")
    assert "By the weight" in service.client.get(job["links"]["report_html"]).text
    plain = service.submitted()
    assert "weights" not in service.client.get(f"/v1/jobs/{plain}").json()["links"]
    assert service.client.get(f"/v1/jobs/{plain}/plots/weights.svg").status_code == 404


def test_a_radius_that_its_votes_do_not_give_is_told(mix: Path, tmp_path: Path) -> None:
    out = tmp_path / "mixed.tsv"
    certified(mix, out, "--bound", "mixed")
    evidence = out.with_suffix(".ndjson")
    lines = [json.loads(line) for line in evidence.read_text().splitlines()]
    certain = next(line for line in lines if line["radius"] > 0)
    certain["robust_weight"] = 1.0
    evidence.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "robust_weight" in refused_audit(evidence)


def refused_audit(evidence: Path) -> str:
    """What an audit prints that finds something."""
    from tests_support.cli import radii

    result = radii("verify", evidence)
    assert result.exit_code == 1
    return result.output


def test_what_is_no_mix_is_not_certified_as_one(two: list[Path], mix: Path, tmp_path: Path) -> None:
    asked = ["certify", *TINY, *SAMPLES, "--bound", "mixed"]
    said = refused(*asked, "--checkpoint", two[1], "--out", tmp_path / "a.tsv")
    assert "a checkpoint that mixes a standard and a robust classifier" in said
    said = refused(*asked, "--sampling", "pilot", "--checkpoint", mix, "--out", tmp_path / "b.tsv")
    assert "mixed with sampling = fixed" in said
    said = refused("certify", *TINY, "--robust-weight", "0.7", "--checkpoint", mix, "--out", tmp_path / "c.tsv")
    assert "none, but with bound = mixed" in said


def test_a_plan_of_a_service_takes_the_checkpoints_weight(service: Service) -> None:
    composition = {"kind": "mixed", "robust_weight": 0.7}
    mixed = service.checkpoint(info={"normalization": None, "composition": composition})
    body = {"kind": "certify", "dataset": service.dataset(), "checkpoint": mixed, "n": 1000, "inputs": {"count": 5}}
    asked = body | {"bound": "mixed", "validate_only": True}
    plan = service.client.post("/v1/jobs", json=asked)
    assert (plan.status_code, plan.json()["spec"]["robust_weight"]) == (200, 0.7), plan.text
    other = service.client.post("/v1/jobs", json=asked | {"robust_weight": 0.9})
    assert other.json()["spec"]["robust_weight"] == 0.9
    plain = service.client.post("/v1/jobs", json=asked | {"checkpoint": service.checkpoint()})
    assert (plain.status_code, "mixes a standard and a robust" in plain.json()["detail"]) == (422, True)
    network = service.checkpoint(info={"normalization": None, "composition": {"kind": "mixed", "mixing": {}}})
    refusal = service.client.post("/v1/jobs", json=asked | {"checkpoint": network}).json()["detail"]
    assert "from a mixing network, for which there is no certificate" in refusal


def test_the_weight_of_a_mix_reaches_its_whole_network(two: list[Path], mix: Path) -> None:
    """The mix as a base classifier, which can be certified, too, is another function: both nets under noise."""
    model, _ = checkpoint.load(mix)
    wanted, _ = joined(
        Mixed(robust_weight=0.8, standard_scale=2.0),
        [checkpoint.load(path)[0] for path in two],
        [checkpoint.load(path)[1] for path in two],
    )
    x = torch.rand(2, 1, 8, 8)
    with torch.inference_mode():
        assert torch.equal(model(x), wanted(x))


def test_a_mix_is_attacked_as_what_is_certified(mix: Path, tmp_path: Path) -> None:
    """No answer within a certified radius is of another class: of six inputs at two radii, wrong with a probability of at most
    6 x 2 x 0.002 by the two alphas, and the seed is fixed."""
    certificates, out = tmp_path / "mixed.tsv", tmp_path / "attack.tsv"
    certified(mix, certificates, "--bound", "mixed")
    asked = ["--set", "evaluation.target=mix", "--at", "0,0.1", "--steps", "3", "--m", "4", "--n", "300"]
    command = ["evaluate", "attack", *TINY, *asked, "--checkpoint", mix, "--certificates", certificates, "--out", out]
    assert "Answers of another class than the certified one: 0" in " ".join(done(*command).stdout.split())
