"""The records of composites: what they allow, and how their names and parts are told."""

import pytest
from pydantic import TypeAdapter, ValidationError

from radii.rs_core.specs.composition import Composition, Ensemble, Mixed, Mixing, is_composite, networks_in, singles
from radii.rs_core.specs.jobs import dump_spec

MIXING = Mixing(features=(("a", "b"), ("c", "d")), channels=((4, 8), (4, 8)), widths=(16, 32, 64))


@pytest.mark.parametrize(
    "composition", [Ensemble(), Mixed(robust_weight=0.76), Mixed(mixing=MIXING, standard_size=128)]
)
def test_a_record_is_the_same_after_it_was_json(composition: Composition) -> None:
    assert TypeAdapter(Composition).validate_python(dump_spec(composition)) == composition


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "exactly one of robust_weight and a mixing network"),
        ({"robust_weight": 0.5, "mixing": MIXING}, "exactly one of robust_weight and a mixing network"),
        ({"robust_weight": 1.01}, "less than or equal to 1"),
        ({"robust_weight": -0.01}, "greater than or equal to 0"),
        ({"robust_weight": 0.5, "robust_scale": 0.0}, "greater than 0"),
        ({"robust_weight": 0.5, "standard_size": 0}, "greater than or equal to 1"),
    ],
)
def test_a_mix_has_one_weight_within_0_and_1_and_positive_scales(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Mixed(**fields)  # type: ignore[arg-type]


def test_a_mixing_network_gives_no_weight_above_1() -> None:
    shape = {"features": MIXING.features, "channels": MIXING.channels, "widths": MIXING.widths}
    assert Mixing(**shape, weight_scale=0.15, weight_bias=0.85).weight_bias == 0.85
    with pytest.raises(ValidationError, match="at most 1, the largest weight"):
        Mixing(**shape, weight_scale=0.16, weight_bias=0.85)


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValidationError, match="'ensemble', 'denoised', 'mixed'"):
        TypeAdapter(Composition).validate_python({"kind": "averaged"})


@pytest.mark.parametrize("name", ["ensemble", "mixed(lenet, lenet)", "denoised(dncnn, ensemble(2 x lenet))"])
def test_composites_are_known_by_their_names(name: str) -> None:
    assert is_composite(name)


@pytest.mark.parametrize("name", [None, "", "lenet", "ensembles", "mixed_net", "my-ensemble(2)"])
def test_other_names_are_none_of_composites(name: str | None) -> None:
    assert not is_composite(name)


def test_the_single_networks_of_nested_records_come_in_their_order() -> None:
    inner = {"architecture": "e", "parts": [{"architecture": "a"}, {"architecture": "b", "parts": []}]}
    assert [row["architecture"] for row in singles({"parts": [inner, {"architecture": "c"}]})] == ["a", "b", "c"]
    assert [row["architecture"] for row in singles({"architecture": "alone"})] == ["alone"]
    assert networks_in("m", {"parts": [inner, {"architecture": "c"}]}) == ["a", "b", "c"]
    assert networks_in("alone", {"normalization": None}) == networks_in("alone", None) == ["alone"]
