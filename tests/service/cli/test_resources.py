"""`radii add-dataset --corrupt` and `radii add-checkpoint --compose`: what a service is asked to make of what it has."""

from pathlib import Path

import pytest
from tests_support import parts
from tests_support.cli import printed, refused
from tests_support.over_http import Service

from radii.rs_core.checkpoints.checkpoint_info import dump_info


@pytest.fixture
def over(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The service that the commands ask."""
    monkeypatch.setattr("radii.service.cli.registration.connect_patiently", lambda *_: service.connected())
    return service


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.safetensors"
    path.write_bytes(b"")
    return path


def test_corrupted_images_are_those_that_the_flags_name(over: Service) -> None:
    clean = over.dataset()
    how = ["--corruption", "fog", "--corruption", "snow", "--severity", "3", "--severity", "5"]
    chosen = ["--start", "10", "--step", "2", "--count", "5", "--seed", "7"]
    made = printed("add-dataset", "in fog", "--corrupt", clean, *how, *chosen, "--no-wait").strip()
    found = over.client.get(f"/v1/datasets/{made}").json()
    assert (found["name"], found["state"]) == ("in fog", "pending")
    assert found["source"]["corrupt"] == {
        "dataset": clean,
        "corruptions": ["fog", "snow"],
        "severities": [3, 5],
        "inputs": {"start": 10, "step": 2, "count": 5},
        "seed": 7,
    }


def test_without_flags_they_are_all_common_ones_of_all_images(over: Service) -> None:
    made = printed("add-dataset", "all", "--corrupt", over.dataset(), "--no-wait").strip()
    asked = over.client.get(f"/v1/datasets/{made}").json()["source"]["corrupt"]
    assert (asked["corruptions"], asked["severities"], asked["seed"]) == (None, [1, 2, 3, 4, 5], 0)
    assert asked["inputs"] == {"start": 0, "step": 1, "count": None}


def test_a_composition_has_its_parts_in_order_and_its_settings(over: Service) -> None:
    info = dump_info(parts.DIGITS)
    two = [over.checkpoint(info=info), over.checkpoint(info=info)]
    named = ["--part", two[1], "--part", two[0]]
    mix = ["--robust-weight", "0.8", "--standard-scale", "2", "--robust-scale", "0.5"]
    made = printed("add-checkpoint", "mix", "--compose", "mixed", *named, *mix, "--no-wait").strip()
    found = over.client.get(f"/v1/checkpoints/{made}").json()
    assert [part["id"] for part in found["parts"]] == two[::-1]
    settings = {"robust_weight": 0.8, "standard_scale": 2.0, "robust_scale": 0.5, "standard_size": None}
    assert {name: found["composition"][name] for name in settings} == settings
    both = printed("add-checkpoint", "both", "--compose", "ensemble", *named, "--no-wait").strip()
    assert over.client.get(f"/v1/checkpoints/{both}").json()["composition"] == {"kind": "ensemble"}


def test_what_the_service_refuses_is_said_in_its_words(over: Service) -> None:
    said = refused("add-dataset", "x", "--corrupt", over.dataset(), "--corruption", "rain")
    assert "'gaussian_noise', " in said
    said = refused("add-checkpoint", "x", "--compose", "ensemble", "--part", over.checkpoint())
    assert "compose.ensemble.parts" in said
    two = ["--part", over.checkpoint(), "--part", over.checkpoint()]
    assert "robust_weight" in refused("add-checkpoint", "x", "--compose", "mixed", *two)


def test_what_belongs_to_files_does_not_go_with_what_is_made_nor_the_other_way_round(over: Service, file: Path) -> None:
    for wrong in (
        ["add-dataset", "x", file, "--severity", "3"],
        ["add-dataset", "x", "--builtin", "digits", "--count", "3"],
        ["add-dataset", "x", file, "--corrupt", "ds_1"],
        ["add-dataset", "x", "--corrupt", "ds_1", "--class-names", "a,b"],
        ["add-checkpoint", "x", file, "--part", "ckpt_1"],
        ["add-checkpoint", "x", file, "--robust-weight", "0"],
        ["add-checkpoint", "x", file, "--compose", "ensemble"],
        ["add-checkpoint", "x", "--compose", "ensemble", "--sigma", "0.5"],
        ["add-checkpoint", "x"],
    ):
        assert "expected" in refused(*wrong, code=2)
    for noun in ("datasets", "checkpoints"):
        assert over.client.get(f"/v1/{noun}").json()["items"] == []
