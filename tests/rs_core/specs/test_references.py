"""Which fields of a specification are settings: every field that may hold a name, and no other, is left out."""

from dataclasses import fields
from typing import get_args, get_type_hints

import pytest

from radii.rs_core.specs.fields import Reference
from radii.rs_core.specs.jobs import CatRs, CertifySpec, Gaussian, PredictSpec, SoftLabelSpec, TrainSpec, dump_spec
from radii.rs_core.specs.references import METHOD_REFERENCES, REFERENCES, WITHOUT_EFFECT, settings

TRAIN = TrainSpec(dataset="mine", architecture="lenet", sigma=0.5, epochs=3, method=CatRs(m=2))


def _holds_a_name(hint: object) -> bool:
    bounds = getattr(hint, "__metadata__", ())[:1]
    named = bounds == Reference.__metadata__ and get_args(hint)[0] is str
    return named or any(_holds_a_name(part) for part in get_args(hint))


@pytest.mark.parametrize("kind", [TrainSpec, CertifySpec, PredictSpec, SoftLabelSpec, CatRs, Gaussian])
def test_every_field_of_the_type_of_names_is_listed(kind: type) -> None:
    hints = get_type_hints(kind, include_extras=True)
    named = {name for name, hint in hints.items() if _holds_a_name(hint)}
    listed = METHOD_REFERENCES if kind in (CatRs, Gaussian) else REFERENCES
    assert named == {field.name for field in fields(kind)} & set(listed)


def test_names_and_what_has_no_effect_are_left_out_and_all_else_stays() -> None:
    whole, kept = dump_spec(TRAIN), settings(dump_spec(TRAIN))
    assert whole.keys() - kept.keys() == {"dataset", "test_dataset", "start_from", *WITHOUT_EFFECT}
    assert whole["method"].keys() - kept["method"].keys() == set(METHOD_REFERENCES)
    assert all(kept[name] == whole[name] for name in kept if name != "method")


def test_a_specification_without_a_method_has_settings_too() -> None:
    votes = SoftLabelSpec(checkpoint="a", dataset="b", n=7)
    assert settings(dump_spec(votes))["n"] == 7 and "checkpoint" not in settings(dump_spec(votes))
