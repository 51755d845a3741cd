"""What says which inputs of a results file show the same photograph, and what a comparison of files over HTTP is told."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests_support.over_http import Service
from tests_support.runs import row

from service.commands.console import CommandError
from service.commands.photographs import shown_by, shown_in

CORRUPTED = {
    "groups": [
        {"corruption": "snow", "severities": [1, 5], "start": 100, "count": 100},
        {"corruption": "fog", "severities": [1, 5], "start": 0, "count": 100},
    ]
}
ROWS = [row(index, 0.5) for index in range(200)]


def fetched(folder: Path, **data: Any) -> Path:
    """A folder that `radii fetch` wrote."""
    dataset = {"count": 200, "content_hash": "a" * 64, "selection": {"start": 0, "step": 2, "count": None}, **data}
    (folder / "report.json").write_text(json.dumps({"dataset": dataset}))
    return folder / "certificates.tsv"


def test_a_fetched_report_says_it(tmp_path: Path) -> None:
    found = shown_in(fetched(tmp_path, corrupted=CORRUPTED), {}, ROWS)
    assert found.photographs is not None and found.photographs.starts == (0, 50, 100, 150)
    assert (found.photographs.chosen, found.known, found.data) == (range(0, 200, 2), True, "a" * 64)
    clean = shown_in(fetched(tmp_path), {}, ROWS)
    assert (clean.photographs, clean.known) == (None, True)


def test_another_file_in_that_folder_is_not_taken_for_one_of_it(tmp_path: Path) -> None:
    fetched(tmp_path, corrupted=CORRUPTED)
    assert shown_in(tmp_path / "theirs.tsv", {}, ROWS) == (None, False, None)


def test_a_flag_says_it_where_nothing_else_does(tmp_path: Path) -> None:
    found = shown_in(tmp_path / "theirs.tsv", {}, ROWS, repeating=80)
    assert found.known and found.photographs is not None and found.photographs.starts == (0, 80, 160)
    with pytest.raises(CommandError, match="Expected no --photographs"):
        shown_in(tmp_path / "mine.tsv", {"corrupted": None, "count": 200}, ROWS, repeating=80)


def test_a_dataset_of_clean_images_has_no_groups() -> None:
    assert shown_by(None) is None and shown_by({}) is None


def test_files_of_corrupted_images_are_compared_by_photograph_where_that_is_said(service: Service) -> None:
    text = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
    for name, step in (("a.tsv", 2), ("b.tsv", 3)):
        certified = [i % 20 % step > 0 for i in range(100)]
        lines = [
            f"{i}\t{i % 10}\t{i % 10 if yes else -1}\t{0.5 * yes}\t{int(yes)}\t0:00:01"
            for i, yes in enumerate(certified)
        ]
        body = (text + "\n".join(lines) + "\n").encode()
        assert service.client.put(f"/v1/uploads/{name}", content=body).status_code == 201

    def asked(**more: Any) -> dict[str, Any]:
        answer = service.client.get("/v1/compare", params={"file": ["a.tsv", "b.tsv"], **more})
        assert answer.status_code == 200, answer.text
        results: dict[str, Any] = answer.json()["results"]
        return results

    unknown, known = asked(), asked(photographs=20)
    assert unknown["unit"] == "input" and any("Nothing says which inputs" in note for note in unknown["notes"])
    assert (known["unit"], known["units"]) == ("photograph", 20)
    assert known["pairs"][0]["tests"][0]["p_value"] > unknown["pairs"][0]["tests"][0]["p_value"]
    assert service.client.get("/v1/compare", params={"file": "a.tsv", "photographs": 0}).status_code == 422
