"""The codec of records: each field is in each format, and stored values give the record back."""

import json
import math
from dataclasses import fields
from typing import Any

import pytest

from radii.rs_core.evaluate.records import EvaluationRecord, PointResult
from radii.rs_core.records import ABSTAIN, UNKNOWN_LABEL, Certificate, Prediction
from radii.rs_core.results import codec
from radii.service.schemas import job_results
from radii.service.views import resource_views
from radii.worker.store import result_rows
from radii.worker.store.models.result_tables import CertificateRow, EvaluationRow, PredictionRow

VOTED: dict[str, Any] = {
    "label": 1,
    "prediction": 1,
    "counts": (1, 9),
    "n": 10,
    "sigma": 0.25,
    "alpha": 0.001,
    "seed": 3,
}
CERTIFICATE = Certificate(
    **VOTED,
    index=4,
    radius=0.5,
    p_lower=0.75,
    p_upper=0.25,
    counts0=(2, 3),
    n0=5,
    sampling="at_radii",
    radii=(0.25, 0.5),
    bound="mixed",
    noise="discrete",
    precision="bf16",
    standard=(0.125, 0.875),
    robust_weight=0.75,
    seconds=1.5,
    batch_size=64,
    error="-1",
)
PREDICTION = Prediction(**VOTED, index=4, p_value=0.5, seconds=1.5, batch_size=64, error="-1")
EVALUATED = EvaluationRecord(
    index=4,
    label=1,
    found=(
        PointResult(point=0.0, distance=0.0, prediction=1, counts=(1, 9)),
        PointResult(point=0.5, distance=0.25, prediction=ABSTAIN, counts=(5, 5)),
    ),
    seed=3,
    seconds=1.5,
    batch_size=64,
)
RECORDS = [CERTIFICATE, PREDICTION, EVALUATED]
HEADERS = {
    Certificate: "index,label,prediction,correct,radius,p_lower,p_upper,counts0,counts,standard,robust_weight,n0,n,sigma,alpha,"
    "seed,sampling,radii,bound,noise,precision,seconds,batch_size,error",
    Prediction: "index,label,prediction,correct,p_value,counts,n,sigma,alpha,seed,seconds,batch_size,error",
    EvaluationRecord: "index,label,point,distance,prediction,right,counts,seed,seconds,error",
}


@pytest.mark.parametrize("record", RECORDS)
def test_stored_values_give_the_record_back(record: Any) -> None:
    stored = json.loads(json.dumps(codec.values(record)))
    assert codec.of_values(type(record), stored) == record


def test_a_list_that_is_null_or_left_out_is_empty() -> None:
    stored = {name: value for name, value in codec.values(CERTIFICATE).items() if name != "counts0"}
    read = codec.of_values(Certificate, stored | {"standard": None})
    assert (read.counts0, read.standard) == ((), ())


@pytest.mark.parametrize(
    ("record", "answer", "table"),
    [
        (Certificate, job_results.Certificate, CertificateRow),
        (Prediction, job_results.Prediction, PredictionRow),
        (EvaluationRecord, job_results.Evaluated, EvaluationRow),
        (PointResult, job_results.Found, None),
    ],
)
def test_each_field_of_a_record_is_in_its_answer_and_has_a_column_or_is_the_jobs(
    record: Any, answer: Any, table: Any
) -> None:
    names = {field.name for field in fields(record)}
    assert set(answer.model_fields) - {"correct", "at_cap", "right"} == names
    if table is not None:
        assert set(table.__table__.columns.keys()) == {"job_id"} | (names - set(result_rows.OF_THE_JOB))


def test_an_abstention_an_unknown_label_and_an_empty_list_of_a_mix_are_null_in_json() -> None:
    row = Certificate(
        **VOTED | {"label": UNKNOWN_LABEL, "prediction": ABSTAIN}, index=0, radius=0.0, p_lower=0.1, counts0=(), n0=0
    )
    body = codec.to_json(row)
    assert (body["label"], body["prediction"], body["standard"], body["counts0"]) == (None, None, None, [])
    assert [at["prediction"] for at in codec.to_json(EVALUATED)["found"]] == [1, None]


@pytest.mark.parametrize("kind", HEADERS)
def test_a_file_without_rows_has_the_header_of_all_versions(kind: type[Any]) -> None:
    assert list(codec.csv_lines(kind, [])) == [HEADERS[kind] + "\n"]


def test_csv_has_lists_in_one_cell_and_truth_as_a_number() -> None:
    _, line = codec.csv_lines(Certificate, [CERTIFICATE])
    assert line == (
        "4,1,1,1,0.5,0.75,0.25,2 3,1 9,0.125 0.875,0.75,5,10,0.25,0.001,3,at_radii,0.25 0.5,mixed,discrete,bf16,1.5,64,-1\n"
    )
    _, line = codec.csv_lines(Prediction, [PREDICTION])
    assert line == "4,1,1,1,0.5,1 9,10,0.25,0.001,3,1.5,64,-1\n"


def test_csv_has_a_line_for_each_point_of_an_evaluation_and_one_for_an_input_that_failed() -> None:
    failed = EvaluationRecord(index=5, label=UNKNOWN_LABEL, seed=3, error="no memory")
    assert "".join(codec.csv_lines(EvaluationRecord, [EVALUATED, failed], "\t")).splitlines()[1:] == [
        "4\t1\t0.0\t0.0\t1\t1\t1 9\t3\t1.5\t",
        "4\t1\t0.5\t0.25\t-1\t0\t5 5\t3\t1.5\t",
        "5\t-1\t\t\t\t0\t\t3\t0.0\tno memory",
    ]


def test_a_number_that_is_not_finite_is_null_in_files_and_answers() -> None:
    lost = EvaluationRecord(
        index=4, label=1, found=(PointResult(point=0.5, distance=math.nan, prediction=1, counts=(0, 9)),), seed=3
    )
    assert codec.to_json(lost)["found"][0]["distance"] is None
    assert json.loads(resource_views.evaluated(lost).model_dump_json())["found"][0]["distance"] is None
