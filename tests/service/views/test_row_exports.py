"""Files of rows and reports take memory for a few rows at a time, however many classes there are."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests_support.over_http import Service, certificate

from radii.service.api.routes.rows import PARTS
from radii.service.views import certification_report
from radii.worker.store import certificate_rows, result_rows
from radii.worker.store.models.tables import Job

CLASSES, INPUTS = 20_000, 60
MIB = 2**20


@pytest.fixture
def job_id(service: Service) -> str:
    """A certification of many classes, with all its rows: 18 MiB of pointers to counts alone."""
    checkpoint = service.checkpoint(num_classes=CLASSES, class_names=None)
    dataset = service.dataset(num_classes=CLASSES, class_names=None)
    body = {"kind": "certify", "n": 1000, "inputs": {"count": INPUTS}, "checkpoint": checkpoint, "dataset": dataset}
    found = str(service.client.post("/v1/jobs", json=body).json()["id"])
    spec = service.job(found).resolved
    with service.database.write() as session:
        for index in range(INPUTS):
            row = replace(certificate(index, spec), counts0=(1,) * CLASSES, counts=(1,) * CLASSES)
            certificate_rows.store(session, found, [row])
    return found


def peak(act: Callable[[], object]) -> int:
    tracemalloc.start()
    act()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_a_file_of_rows_with_many_classes_is_written_a_few_rows_at_a_time(
    service: Service, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_rows, "NUMBERS", 4 * 2 * CLASSES)
    lines: list[str] = []
    used = peak(
        lambda: lines.append(str(sum(map(len, PARTS["certificates"].pieces(service.database, job_id, "ndjson")))))
    )
    assert int(lines[0]) > INPUTS * 2 * CLASSES
    assert used < 12 * MIB


def test_a_report_of_rows_with_many_classes_reads_a_few_rows_at_a_time(
    service: Service, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report() -> None:
        with service.database.read() as session:
            found = certification_report.sources(session, session.get_one(Job, job_id))
            found_statistics.append(certification_report.row_statistics_of(session, found))

    found_statistics: list[object] = []
    monkeypatch.setattr(result_rows, "NUMBERS", 4 * 2 * CLASSES)
    assert peak(report) < 8 * MIB
    monkeypatch.undo()
    report()
    few, all_at_once = [str(vars(statistics)) for statistics in found_statistics]
    assert few == all_at_once, "the report is the same"


def test_an_answer_with_very_many_class_counts_leaves_them_out(service: Service, job_id: str) -> None:
    from radii.service.jobs import predict_images

    with service.database.read() as session:
        found = list(certificate_rows.read(session, job_id))
    shown, kept = predict_images._predictions(found, [])
    assert sum(len(row.counts) for row in kept) <= predict_images.MOST_NUMBERS
    assert len(shown) == INPUTS and all(each.counts is None and each.counts0 is None for each in shown)
    assert all(each.counts is not None for each in predict_images._predictions(found[:5], [])[0])
