"""`radii compare` of results files, and `radii published`."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from tests_support.cli import done, printed, refused
from tests_support.runs import row

from radii.rs_core.literature import published_results
from radii.rs_core.results import codec
from radii.rs_core.results.tsv import write_tsv

RADII = {"good": [0.5, 0.5, 0.5, 0.25, 0.9, 0.3], "bad": [0.25, None, -0.9, 0.25, 0.5, None]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs as the field's TSV, one of them with its votes as well."""
    for name, radii in RADII.items():
        rows = [row(index, radius) for index, radius in enumerate(radii)]
        with (tmp_path / f"{name}.tsv").open("w") as file:
            write_tsv(rows, file)
        lines = (json.dumps(codec.to_json(one)) + "\n" for one in rows)
        (tmp_path / f"{name}.ndjson").write_text("".join(lines))
    return tmp_path


class TestCompare:
    def test_text_shows_each_run_and_its_tests_against_the_first(self, folder: Path) -> None:
        text = printed("compare", folder / "bad.tsv", folder / "good.tsv", "--radii", "0,0.25")
        assert re.search(r"good +0\.4916 +100\.00 +100\.00", text)
        assert re.search(r"bad +0\.1666 +50\.00 +50\.00", text)
        assert "good less bad" in text and "ACR +0.3250" in text
        assert re.search(r"0\.25 +\+50\.00 +3 +3 +0 +0 +0\.25 +0\.5", text)

    def test_json_has_every_number_and_a_baseline_may_be_chosen(self, folder: Path) -> None:
        body = json.loads(
            printed("compare", f"x={folder / 'bad.tsv'}", folder / "good.ndjson", "--baseline", "good", "--json")
        )
        assert [run["name"] for run in body["runs"]] == ["x", "good"]
        assert (body["baseline"], body["pairs"][0]["run"], body["shared"]) == ("good", "x", 6)
        assert [run["procedure"] for run in body["runs"]] == ["procedure unknown", "fixed n"]

    def test_csv_has_one_number_per_line(self, folder: Path) -> None:
        text = printed("compare", folder / "bad.tsv", folder / "good.tsv", "--csv")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert next(float(row["value"]) for row in rows if row["measure"] == "acr_difference") == pytest.approx(0.325)

    def test_all_pairs(self, folder: Path) -> None:
        given = [folder / "bad.tsv", f"c={folder / 'good.tsv'}", folder / "good.ndjson"]
        assert len(json.loads(printed("compare", *given, "--json"))["pairs"]) == 2
        assert len(json.loads(printed("compare", *given, "--json", "--all-pairs"))["pairs"]) == 3

    def test_one_run_is_laid_beside_published_results(self, folder: Path) -> None:
        text = printed("compare", folder / "good.ndjson", "--published", "cifar10/cat_rs/0.25", "--published",
                       "cifar10/smoothmix/0.25")  # fmt: skip
        assert re.search(r"cifar10/cat_rs/0.25 +0\.562 +76\.3", text)
        assert "cifar10/smoothmix/0.25" in text and "less" not in text

    def test_files_of_one_name_are_told_apart_by_their_paths(self, folder: Path) -> None:
        body = json.loads(printed("compare", folder / "good.tsv", folder / "good.ndjson", "--json"))
        assert [run["name"] for run in body["runs"]] == [str(folder / "good.tsv"), str(folder / "good.ndjson")]

    def test_what_stands_beside_a_file_about_its_run_counts(self, folder: Path) -> None:
        spec = {"kind": "certify", "sigma": 0.25, "n0": 100, "n": 100_000, "alpha": 0.001, "seed": 1}
        run = {"spec": spec, "files": {"checkpoint": "c", "dataset": "d"}, "inputs": 12, "dataset": "a hash"}
        (folder / "good.run.json").write_text(json.dumps(run))
        (line,) = json.loads(printed("compare", folder / "good.tsv", "--json"))["runs"]
        assert (line["procedure"], line["complete"], line["own"]["inputs"]) == ("fixed n", False, 12)
        assert line["cap"] == pytest.approx(0.9528, abs=1e-3)

    @pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
    def test_plot_is_a_picture(self, folder: Path, ending: str, start: bytes) -> None:
        plot = folder / f"curves.{ending}"
        done("compare", folder / "bad.tsv", folder / "good.tsv", "--plot", plot)
        assert plot.read_bytes().startswith(start)

    def test_mistakes_are_one_sentence(self, folder: Path) -> None:
        good = folder / "good.tsv"
        assert "There is no file" in refused("compare", good, folder / "nothing.tsv")
        assert "expected one of good, bad" in refused("compare", good, folder / "bad.tsv", "--baseline", "x")
        assert "'a' more than once" in refused("compare", f"a={good}", f"a={folder / 'bad.tsv'}")
        assert "a method out of" in refused("compare", good, "--published", "cifar10/x/0.25")
        assert ".png or .svg" in refused("compare", good, "--plot", folder / "x.pdf")
        assert "--json or --csv" in refused("compare", good, "--json", "--csv", code=2)
        assert "joined by commas" in refused("compare", good, "--radii", "a", code=2)
        (folder / "other.tsv").write_text(
            good.read_text().replace("\n0\t0\t0", "\n0\t1\t0").replace("\t1\t0:", "\t0\t0:")
        )
        assert "(other.tsv, line" in refused("compare", good, folder / "other.tsv")

    def test_predictions_have_no_radii_to_compare(self, folder: Path) -> None:
        prediction = {"index": 0, "label": 0, "prediction": 0, "p_value": 0.0, "counts": [10], "n": 10, "sigma": 0.25}
        (folder / "p.ndjson").write_text(json.dumps(prediction | {"alpha": 0.001, "seed": 0}) + "\n")
        assert "holds predictions" in refused("compare", folder / "p.ndjson")


class TestPublished:
    def test_every_result_has_a_line(self) -> None:
        lines = {line.split()[0].rstrip("*"): line for line in printed("published").splitlines()}
        assert set(published_results.names()) <= set(lines)
        assert lines["cifar10/cat_rs/0.25"].split() == ["cifar10/cat_rs/0.25", "0.562", "76.3", "68.1", "58.8", "48.2"]
        assert lines["imagenet/consistency/0.5"].startswith("imagenet/consistency/0.5*")
        assert lines["cifar10/gaussian-best/any"].split()[1:4] == ["-", "0.25:", "60"]

    def test_a_data_set_and_a_result(self) -> None:
        assert len(printed("published", "cifar100").splitlines()) == 1 + 14
        text = printed("published", "imagenet/smoothadv/1.0")
        assert "ACR 1.040" in text and "certified accuracy at 3.5: 15 %" in text
        assert "Note: disputed" in text and "Source: table of the SmoothMix slides" in text

    def test_json_is_the_records(self) -> None:
        (found,) = json.loads(printed("published", "mnist/cat_rs/1.0", "--json"))
        assert (found["acr"], found["certified_accuracy"], found["sigma"]) == (1.831, [], 1.0)

    def test_an_unknown_name_is_refused_with_what_there_is(self) -> None:
        assert "a data set out of mnist" in refused("published", "svhn")
