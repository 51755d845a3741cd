"""`radii report` of results files."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tests_support.cli import done, refused

from radii.rs_core.results.photographs import share_interval
from radii.rs_core.statistics.paired_tests import mean_interval

TSV = (
    "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
    "0\t3\t3\t0.500\t1\t0:00:01.0\n"
    "20\t8\t8\t0.250\t1\t0:00:01.0\n"
    "40\t8\t0\t0.900\t0\t0:00:01.0\n"
    "60\t0\t-1\t0.0\t0\t0:00:01.0\n"
)


class TestReport:
    @pytest.fixture
    def tsv(self, tmp_path: Path) -> Path:
        path = tmp_path / "results.tsv"
        path.write_text(TSV)
        return path

    def test_table_shows_acr_and_certified_accuracy(self, tsv: Path) -> None:
        # (0.5 + 0.25) / 4, and 1 of 4 correct at radius 0.3.
        text = done("report", tsv, "--radii", "0,0.3").stdout
        assert "ACR 0.1875" in text
        assert re.search(r"0\.30\s+25\.00 %", text) and re.search(r"0\.00\s+50\.00 %", text)

    def test_json_has_every_number(self, tsv: Path) -> None:
        body = json.loads(done("report", tsv, "--json").stdout)
        assert (body["acr"], body["inputs"], body["abstained"]) == (0.1875, 4, 1)

    def test_csv_has_one_number_per_line(self, tsv: Path) -> None:
        assert "acr,,0.1875,,,,4" in done("report", tsv, "--csv").stdout.splitlines()

    def test_missing_inputs_stay_in_the_denominator(self, tsv: Path) -> None:
        assert json.loads(done("report", tsv, "--json", "--total", "8").stdout)["acr"] == 0.09375

    def test_known_settings_give_the_cap(self, tsv: Path) -> None:
        known = ["--sigma", "0.25", "--n", "100000", "--alpha", "0.001"]
        assert json.loads(done("report", tsv, "--json", *known).stdout)["cap"] == pytest.approx(0.9526, abs=1e-3)

    def test_settings_that_the_rows_contradict_are_refused(self, tsv: Path) -> None:
        text = refused("report", tsv, "--sigma", "0.25", "--n", "10", "--alpha", "0.001")
        assert (
            "The rows reach a radius of 0.9, which is more than n, alpha and sigma allow: expected at most 0.0007"
            in text
        )

    @pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
    def test_plot_is_a_picture(self, tsv: Path, tmp_path: Path, ending: str, start: bytes) -> None:
        done("report", tsv, "--plot", tmp_path / f"curve.{ending}")
        assert (tmp_path / f"curve.{ending}").read_bytes().startswith(start)

    def test_a_file_that_is_no_results_file_is_refused_in_one_sentence(self, tmp_path: Path) -> None:
        path = tmp_path / "other.tsv"
        path.write_text("a\tb\n1\t2\n")
        text = refused("report", path)
        assert text.startswith("radii: The per-input results cannot be used (other.tsv, line 1): expected")
        assert text.count("\n") == 1

    def test_broken_evidence_names_its_line(self, tmp_path: Path) -> None:
        path = tmp_path / "x.ndjson"
        path.write_text('{"index": 0}\n')
        assert "(x.ndjson, line 1)" in refused("report", path)
        path.write_text("[]\n")
        assert "expected a JSON object, got" in refused("report", path)
        path.write_text("")
        assert "got an empty file" in refused("report", path)

    def test_wrong_flags_are_refused(self, tsv: Path, tmp_path: Path) -> None:
        assert "does not exist" in refused("report", tmp_path / "nothing.tsv", code=2)
        assert "--json or --csv" in refused("report", tsv, "--json", "--csv", code=2)
        assert "joined by commas" in refused("report", tsv, "--radii", "a", code=2)
        assert ".png or .svg" in refused("report", tsv, "--plot", tmp_path / "x.pdf")


class TestPredictions:
    HEADER = "idx\tlabel\tpredict\tcorrect\ttime\n"
    ROWS = "0\t0\t0\t1\t0:00:01.737771\n100\t2\t2\t1\t0:00:00.158496\n200\t4\t395\t0\t0.1\n300\t4\t-1\t0\t0.1\n"

    @pytest.fixture
    def tsv(self, tmp_path: Path) -> Path:
        path = tmp_path / "predictions.tsv"
        path.write_text(self.HEADER + self.ROWS)
        return path

    def test_a_report_of_predictions_shows_accuracy_and_abstentions(self, tsv: Path) -> None:
        text = done("report", tsv).stdout
        assert re.search(r"accuracy\s+50\.00 %\s+\(2 correct\)", text)
        assert re.search(r"abstained\s+25\.00 %\s+\(1\)", text)
        assert re.search(r"n, alpha\s+unknown, unknown", text) and re.search(r"sigma, seed\s+unknown, unknown", text)
        assert "radius" not in text and "ACR" not in text

    def test_what_predictions_do_not_say_is_null(self, tsv: Path) -> None:
        body = json.loads(done("report", tsv, "--json").stdout, parse_constant=lambda word: pytest.fail(word))
        assert (body["accuracy"], body["abstention_rate"], body["inputs"]) == (0.5, 0.25, 4)
        assert [body[name] for name in ("n", "alpha", "sigma", "seed")] == [None] * 4
        told = json.loads(done("report", tsv, "--json", "--n", "100", "--sigma", "0.5", "--alpha", "0.001").stdout)
        assert [told[name] for name in ("n", "alpha", "sigma")] == [100, 0.001, 0.5]

    def test_columns_are_read_by_name(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.tsv"
        lines = [line.split("\t") for line in TSV.splitlines()]
        columns = [lines[0].index(name) for name in ("correct", "radius", "predict", "idx", "label")]
        shuffled = [[cells[place] for place in columns] for cells in lines]
        words = {"0": "False", "1": "True"}
        rows = [shuffled[0], *([words[cells[0]], *cells[1:]] for cells in shuffled[1:])]
        path.write_text("\n".join("\t".join([*cells, "100000"]) for cells in rows).replace("100000", "n_samples", 1))
        assert json.loads(done("report", path, "--json").stdout)["acr"] == 0.1875

    def test_a_missing_column_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.tsv"
        path.write_text("idx\tpredict\tradius\n1\t1\t1\n")
        assert "which lacks label" in refused("report", path)


class TestCorruptions:
    @pytest.fixture
    def files(self, tmp_path: Path) -> list[Path]:
        """Two corruptions whose TSV files have four rows each, of indices 0 to 60."""
        for name in ("fog", "snow"):
            (tmp_path / f"{name}.tsv").write_text(TSV)
        return [tmp_path / "fog.tsv", tmp_path / "snow.tsv"]

    def test_one_file_for_each_gives_rows_and_means(self, files: list[Path]) -> None:
        body = json.loads(done("report", "--corruptions", "--json", *files).stdout)
        assert [(row["corruption"], row["acr"], row["inputs"]) for row in body["corruptions"]] == [
            ("fog", 0.1875, 4),
            ("snow", 0.1875, 4),
        ]
        assert (body["severities"], body["means"]) == (
            [],
            [
                {"severity": None, "corruptions": 2, "macr": 0.1875, "macc": 0.5}
                | {"macr_interval": None, "macc_interval": None, "photographs": None}
            ],
        )
        text = done("report", "--corruptions", *files).stdout
        assert "give --per-severity N" in " ".join(text.split()) and "95 % interval" not in text
        assert re.search(r"mACR, mAcc +2 of 15 +0\.1875 +50\.00 %", text)
        assert "macr,,0.1875,,,,2" in done("report", "--corruptions", "--csv", *files).stdout.splitlines()

    def test_rows_of_a_severity_are_told_by_their_index(self, files: list[Path]) -> None:
        body = json.loads(done("report", "--corruptions", "--per-severity", "20", "--json", *files).stdout)
        found = [(row["severity"], row["acr"]) for row in body["severities"] if row["corruption"] == "snow"]
        assert found == [(1, 0.5), (2, 0.25), (3, 0.0), (4, 0.0)]
        text = refused("report", "--corruptions", "--per-severity", "10", *files)
        assert "Expected indices below 5 x 10 in fog.tsv, got 60" in text

    def test_means_have_intervals_where_it_is_known_which_rows_show_one_photograph(self, tmp_path: Path) -> None:
        """Ten photographs at two severities; the even ones are right at both, of both corruptions."""
        head, *_ = TSV.splitlines(keepends=True)
        rows = [f"{i}\t3\t{3 if i % 2 == 0 else 4}\t0.5\t{int(i % 2 == 0)}\t0:00:01.0\n" for i in range(20)]
        files = [tmp_path / "fog.tsv", tmp_path / "snow.tsv"]
        for path in files:
            path.write_text(head + "".join(rows))
        (mean, *_) = json.loads(done("report", "--corruptions", "--per-severity", "10", "--json", *files).stdout)[
            "means"
        ]
        by_photograph = np.array([2.0 if i % 2 == 0 else 0.0 for i in range(10)])
        assert mean["macr_interval"] == pytest.approx(list(mean_interval(by_photograph, np.full(10, 4.0))))
        right = np.array([4 if i % 2 == 0 else 0 for i in range(10)])
        assert mean["macc_interval"] == list(share_interval(right, np.full(10, 4), 0.95))
        text = done("report", "--corruptions", "--per-severity", "10", *files).stdout
        assert "95 % interval from" in text and "--per-severity" not in text

    def test_the_figure_is_drawn(self, files: list[Path], tmp_path: Path) -> None:
        done("report", "--corruptions", *files, "--plot", tmp_path / "bars.png")
        assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")

    def test_files_must_say_their_corruption_and_flags_must_fit(self, files: list[Path], tmp_path: Path) -> None:
        (tmp_path / "rain.tsv").write_text(TSV)
        assert "got rain.tsv" in refused("report", "--corruptions", tmp_path / "rain.tsv")
        (tmp_path / "twice").mkdir()
        (tmp_path / "twice" / "fog.tsv").write_text(TSV)
        assert "two of one name" in refused("report", "--corruptions", files[0], tmp_path / "twice" / "fog.tsv")
        assert "one file, or --corruptions" in refused("report", *files, code=2)
        assert "one file, or --corruptions" in refused("report", files[0], "--per-severity", "5", code=2)
        assert "no --radii" in refused("report", "--corruptions", "--radii", "0.5", *files, code=2)


def test_implausible_predictions_are_named_in_the_table_and_in_the_json(tmp_path: Path) -> None:
    path = tmp_path / "predictions.tsv"
    head = "idx\tlabel\tpredict\tcorrect\ttime\n"
    path.write_text(head + "".join(f"{i}\t{i % 10}\t3\t{int(i % 10 == 3)}\t0.1\n" for i in range(50)))
    said = "Implausible: class 3 is the answer to all 50 inputs"
    assert said in done("report", path).stdout
    warnings = json.loads(done("report", path, "--json").stdout)["warnings"]
    assert warnings[0].startswith(said) and "at chance level" in warnings[1]
    path.write_text(head + "".join(f"{i}\t{i % 10}\t{i % 10}\t1\t0.1\n" for i in range(50)))
    assert json.loads(done("report", path, "--json").stdout)["warnings"] == []
