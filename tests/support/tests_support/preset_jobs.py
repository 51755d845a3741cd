"""The training job that a preset stands for."""

from typing import Any

from radii.rs_core.literature import presets
from radii.rs_core.specs.jobs import TrainSpec, dump_spec, parse_spec


def spec(name: str) -> TrainSpec:
    given = {"start_from": "m"} if "/adaptive_smoothing/" in name else {}
    found = parse_spec({"kind": "train", "dataset": "d", **given, **presets.preset(name).body()})
    assert isinstance(found, TrainSpec)
    return found


def method(name: str) -> dict[str, Any]:
    """The preset's method with every default filled in."""
    return dict(dump_spec(spec(name))["method"])
