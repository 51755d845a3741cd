"""Records as JSON: the local files and the service's answers have one form, and reading gives back what was written."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pydantic
import pytest

from radii.rs_core.errors import InvalidResults
from radii.rs_core.records import Certificate, Prediction
from radii.rs_core.results import codec, ndjson
from radii.service.api.routes.rows import PARTS

CERTIFICATE = Certificate(
    index=4,
    label=1,
    prediction=1,
    radius=0.1 + 0.2,
    p_lower=0.9,
    counts0=(1, 19),
    counts=(0, 400),
    n0=20,
    n=400,
    sigma=0.25,
    alpha=0.001,
    seed=2**63 - 1,
    seconds=0.25,
)
PREDICTION = Prediction(
    index=4, label=1, prediction=1, p_value=1e-12, counts=(0, 50), n=50, sigma=0.25, alpha=0.001, seed=0
)
ABSTAINED = {"prediction": -1, "label": -1}


@pytest.mark.parametrize("record", [CERTIFICATE, replace(CERTIFICATE, **ABSTAINED, radius=0.0, error="too bad")])
def test_a_certificate_has_the_form_of_the_services_answers(record: Certificate) -> None:
    assert codec.to_json(record) == PARTS["certificates"].show(record).model_dump(mode="json")


@pytest.mark.parametrize("record", [PREDICTION, replace(PREDICTION, **ABSTAINED)])
def test_a_prediction_has_the_form_of_the_services_answers(record: Prediction) -> None:
    assert codec.to_json(record) == PARTS["predictions"].show(record).model_dump(mode="json")


def test_reading_gives_back_what_was_written() -> None:
    for record in (CERTIFICATE, replace(CERTIFICATE, **ABSTAINED)):
        assert ndjson.certificate(json.loads(json.dumps(codec.to_json(record)))) == record
    assert ndjson.prediction(json.loads(json.dumps(codec.to_json(PREDICTION)))) == PREDICTION


def test_what_is_unknown_is_null_in_json_and_nan_in_the_record() -> None:
    body = codec.to_json(replace(CERTIFICATE, p_lower=math.nan))
    assert body["p_lower"] is None
    assert math.isnan(ndjson.certificate(body).p_lower)


def test_lines_that_contradict_themselves_are_found(tmp_path: Path) -> None:
    body = codec.to_json(CERTIFICATE)
    path = tmp_path / "x.ndjson"
    odd = [body | {"index": 5, "correct": False}, body | {"index": 6, "at_cap": False}]
    path.write_text("".join(json.dumps(line) + "\n" for line in [body, *odd]))
    assert list(ndjson.contradictions(path)) == [
        (5, "its correct is false, where true follows"),
        (6, "its at_cap is false, where true follows"),
    ]


@pytest.mark.parametrize(("field", "value"), [("index", "x"), ("counts", 5), ("radius", [1]), ("n", 0.5)])
def test_a_wrong_field_is_named_with_its_line(field: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    good = json.dumps(codec.to_json(CERTIFICATE))
    path.write_text(good + "\n" + json.dumps(codec.to_json(CERTIFICATE) | {field: value}) + "\n")
    with pytest.raises(InvalidResults, match=rf"x\.ndjson, line 2\): expected {field}") as caught:
        ndjson.read_ndjson(path)
    assert repr(value) in str(caught.value)


FOUND = {"point": 0.5, "distance": 0.25, "prediction": 1, "counts": [0, 9]}
EVALUATED = {"index": 4, "label": 1, "seed": 0, "found": [FOUND]}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"found": 1}', "found: a list of objects, one for each point, got 1"),
        ('{"found": [1]}', "found: a list of objects"),
        ('{"found": null}', "found: a list of objects, one for each point, got none"),
        ('{"found": [[1]]}', "found: a list of objects"),
        ("[" * 200_000, "a JSON object"),
        ('{"index": ' + "[" * 200_000, "a JSON object"),
        ("{}", "Field required"),
        (codec.to_json(CERTIFICATE) | {"index": 1e30}, "index"),
        (codec.to_json(CERTIFICATE) | {"index": 10**30}, "index: whole numbers of at most"),
        (codec.to_json(CERTIFICATE) | {"label": -(10**30)}, "label: whole numbers of at most"),
        (codec.to_json(CERTIFICATE) | {"counts": [1, 10**30]}, "counts: whole numbers of at most"),
        (EVALUATED | {"found": [FOUND | {"prediction": 10**30}]}, "found: whole numbers of at most"),
    ],
)
def test_a_line_that_is_no_record_is_refused_by_its_number(line: object, says: str, tmp_path: Path) -> None:
    path, text = tmp_path / "x.ndjson", line if isinstance(line, str) else json.dumps(line)
    path.write_text(text + "\n")
    with pytest.raises(InvalidResults) as caught:
        ndjson.read_ndjson(path)
    assert caught.value.where == "x.ndjson, line 1" and says in str(caught.value)


def test_lines_of_another_kind_than_the_first_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_text(json.dumps(EVALUATED) + "\n" + json.dumps(codec.to_json(CERTIFICATE)) + "\n")
    with pytest.raises(InvalidResults, match=r"line 2.*found: a list of objects"):
        ndjson.read_ndjson(path)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("radius", math.inf, "radius: a finite number of at least 0"),
        ("radius", -0.1, "radius: a finite number of at least 0"),
        ("index", -1, "index: a whole number of at least 0"),
        ("index", True, "index: a whole number, got true"),
        ("counts", [-1, 401], "counts: votes of at least 0"),
        ("counts", [1] * 100_001, "counts: votes of at least 0 for at most 100,000 classes"),
        ("prediction", 2, "prediction: a class that was counted, or null, got class 2 of 2"),
        ("label", -2, "label: a class of at least 0, or null"),
        ("sigma", 0.0, "sigma: a number above 0"),
        ("alpha", 1.0, "alpha: a number between 0 and 1"),
        ("p_lower", 1.5, "p_lower: a probability"),
        ("n", -1, "n: a number of at least 0"),
    ],
)
def test_what_no_run_can_have_written_is_refused(field: str, value: object, says: str) -> None:
    with pytest.raises(InvalidResults) as caught:
        ndjson.certificate(codec.to_json(CERTIFICATE) | {field: value})
    assert says in str(caught.value)


def test_reading_a_line_costs_little_more_than_its_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[type] = []
    adapter = pydantic.TypeAdapter
    monkeypatch.setattr(pydantic, "TypeAdapter", lambda kind: (built.append(kind), adapter(kind))[1])
    ndjson._reader.cache_clear()
    path = tmp_path / "rows.ndjson"
    path.write_text("".join(json.dumps(codec.to_json(replace(CERTIFICATE, index=at))) + "\n" for at in range(200)))
    assert len(ndjson.read_ndjson(path)) == 200
    assert built == [Certificate], "the adapter is built once, not for each line"
