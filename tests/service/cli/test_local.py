"""`radii certify`, `predict` and `train` on this machine: what they write, and how they go on after a stop."""

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests_support import mixes
from tests_support.cli import done, radii, refused
from typer.testing import Result

from radii.rs_core.certify import engine
from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint_info import read_info
from radii.rs_core.results import ndjson
from radii.rs_core.specs.composition import Mixed

pytestmark = pytest.mark.long

TINY = ["--dataset", "digits", "--device", "cpu", "--threads", "1"]
TRAINING = ["--architecture", "digits_cnn", "--sigma", "0.25", "--epochs", "2", "--count", "512", "--batch-size", "64"]
CERTIFYING = ["--start", "1000", "--step", "50", "--count", "6", "--n", "400", "--n0", "20", "--seed", "5"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    done("train", *TINY, *TRAINING, "--learning-rate", "0.05", "--out", path)
    return path


def certify(model: Path, out: Path, *more: str) -> Result:
    return radii("certify", *TINY, *CERTIFYING, "--checkpoint", model, "--out", out, *more)


def counted(out: Path) -> list[Any]:
    """The evidence of a run without its times."""
    rows = [json.loads(line) for line in out.with_suffix(".ndjson").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


class TestCertify:
    def test_results_are_written_with_their_evidence_and_reported(self, model: Path, tmp_path: Path) -> None:
        out = tmp_path / "results.tsv"
        text = certify(model, out).stdout
        rows = ndjson.read_ndjson(out.with_suffix(".ndjson"))
        assert [row.index for row in rows] == [1000, 1050, 1100, 1150, 1200, 1250]
        assert all((sum(row.counts), row.n, row.n0, row.seed) == (400, 400, 20, 5) for row in rows)
        assert text == done("report", out.with_suffix(".ndjson")).stdout
        lines = out.read_text().splitlines()
        assert len(lines) == 7 and lines[1].startswith("1000\t")
        acr = [json.loads(done("report", out.with_suffix(end), "--json").stdout)["acr"] for end in (".tsv", ".ndjson")]
        assert acr[0] == pytest.approx(acr[1], abs=1e-6)
        known = json.loads(done("report", out, "--json").stdout)
        assert (known["n0"], known["n"], known["sigma"], known["alpha"]) == (20, 400, 0.25, 0.001)

    def test_a_run_that_was_cut_ends_as_an_unbroken_one(self, model: Path, tmp_path: Path) -> None:
        whole, cut = tmp_path / "whole.tsv", tmp_path / "cut.tsv"
        certify(model, whole)
        certify(model, cut)
        evidence = cut.with_suffix(".ndjson")
        lines = evidence.read_bytes().splitlines(keepends=True)
        # As a kill may leave it: a record cut in the middle, and a TSV that is not as far.
        evidence.write_bytes(b"".join(lines[:3]) + lines[3][:40])
        cut.write_text("".join(cut.read_text().splitlines(keepends=True)[:2]) + "1050\t")
        result = certify(model, cut)
        assert result.exit_code == 0 and "3 of 6 inputs have their result" in result.stderr
        assert counted(cut) == counted(whole)
        assert evidence.read_bytes().splitlines(keepends=True)[:3] == lines[:3]
        assert len(cut.read_text().splitlines()) == 7

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            (("--sampling", "pilot", "--bound", "two_class"), "(n by pilot, two-class bound)"),
            (("--sampling", "at_radii", "--radii", "0.1,0.2"), "ACR (lower bound, stopped early)"),
            (("--sampling", "anytime", "--precision", "bf16"), "(anytime bound, bf16)"),
            (("--guarantee", "dataset"), "alpha 0.000166667"),
        ],
    )
    def test_every_procedure_runs_says_what_it_was_and_can_be_checked(
        self, model: Path, tmp_path: Path, flags: tuple[str, ...], words: str
    ) -> None:
        out = tmp_path / "results.tsv"
        ran = certify(model, out, *flags)
        assert ran.exit_code == 0, ran.output
        assert words in ran.stdout
        assert ran.stdout == done("report", out.with_suffix(".ndjson")).stdout
        assert words in done("report", out).stdout, "the TSV file too, by what stands beside it"
        data = TINY[TINY.index("--dataset") + 1]
        checked = done("verify", out.with_suffix(".ndjson"), "--checkpoint", model, "--dataset", data)
        assert "6 certificates from their counts; none wrong" in checked.stdout
        assert "6 have equal counts, none wrong. Compared by equality" in checked.stdout

    def test_a_report_is_of_the_radii_that_were_asked_for_and_says_what_is_not_finished(
        self, model: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "at.tsv"
        text = certify(model, out, "--sampling", "at_radii", "--radii", "0.13").stdout
        assert [line.split()[0] for line in text.splitlines() if line.startswith("    0.")] == ["0.00", "0.13"]
        assert "linf" in text
        alone = tmp_path / "alone.ndjson"
        alone.write_bytes(out.with_suffix(".ndjson").read_bytes())
        shown = done("report", alone).stdout
        assert [line.split()[0] for line in shown.splitlines() if line.startswith("    0.")] == ["0.00", "0.13"]
        together = certify(model, tmp_path / "all.tsv", "--guarantee", "dataset").stdout
        assert "Guarantee for the data set" in together
        growing = tmp_path / "any.tsv"
        assert certify(model, growing, "--sampling", "anytime").exit_code == 0
        evidence = growing.with_suffix(".ndjson")
        half = [json.loads(line) for line in evidence.read_text().splitlines()]
        n = max(row["n"] for row in half)
        body = json.loads(growing.with_suffix(".run.json").read_text())
        body["spec"]["n"] = 10 * n
        growing.with_suffix(".run.json").write_text(json.dumps(body))
        assert "Valid as it stands: 6 inputs have not come to n samples" in done("report", evidence).stdout

    def test_a_file_of_somebodys_tsv_does_not_say_its_procedure(self, model: Path, tmp_path: Path) -> None:
        out = tmp_path / "results.tsv"
        assert certify(model, out).exit_code == 0
        alone = tmp_path / "alone.tsv"
        alone.write_bytes(out.read_bytes())
        assert "(procedure unknown)" in done("report", alone).stdout
        assert "(fixed n)" in done("report", alone, "--n", "1000").stdout

    def test_procedures_that_do_not_go_together_are_refused(self, model: Path, tmp_path: Path) -> None:
        refused = certify(model, tmp_path / "results.tsv", "--sampling", "anytime", "--bound", "two_class")
        assert refused.exit_code == 1
        assert "one_sided or two_class with fixed and pilot, got two_class with anytime" in refused.stderr
        refused = certify(model, tmp_path / "results.tsv", "--sampling", "at_radii", "--radii", "a,b")
        assert "expected numbers with commas between them" in refused.stderr

    def test_an_anytime_run_that_is_stopped_has_valid_results_and_goes_on(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole, cut = tmp_path / "whole.tsv", tmp_path / "cut.tsv"
        certify(model, whole, "--sampling", "anytime")
        original, turns = engine.certify, iter(range(10))

        def until_the_second_turn(*arguments: Any, **options: Any) -> Iterator[Any]:
            if next(turns) == 1:
                raise KeyboardInterrupt
            yield from original(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(engine, "certify", until_the_second_turn)
            assert certify(model, cut, "--sampling", "anytime").exit_code == 130
        rows = ndjson.read_ndjson(cut.with_suffix(".ndjson"))
        assert [row.n for row in rows] == [100] * 6
        assert "ACR" in done("report", cut).stdout
        assert certify(model, cut, "--sampling", "anytime").exit_code == 0
        assert counted(cut) == counted(whole)

    def test_ctrl_c_inside_an_input_loses_no_votes(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole, cut = tmp_path / "whole.tsv", tmp_path / "cut.tsv"
        certify(model, whole)
        monkeypatch.setattr(engine, "SECONDS_BETWEEN_PROGRESS", 0.0)
        resumed: list[list[engine.Progress]] = []
        original = engine.certify

        def until_the_third(*arguments: Any, resume: list[engine.Progress], **options: Any) -> Iterator[Any]:
            resumed.append(resume)
            for record in original(*arguments, resume=resume, **options):
                yield record
                if len(resumed) == 1 and record.index == 1100 and record.drawn >= 220:
                    raise KeyboardInterrupt

        monkeypatch.setattr(engine, "certify", until_the_third)
        stopped = certify(model, cut)
        assert stopped.exit_code == 130 and "Stopped after 2 of 6 inputs" in stopped.stderr
        assert certify(model, cut).exit_code == 0
        assert resumed[0] == []
        assert [(progress.index, progress.drawn) for progress in resumed[1]] == [(1100, 220)]
        assert counted(cut) == counted(whole)
        assert not cut.with_suffix(".progress.json").exists()

    def test_a_finished_run_is_not_done_again(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = certify(model, tmp_path / "results.tsv")
        monkeypatch.setattr("radii.rs_core.certify.sampler.Sampler.count", None)
        assert certify(model, tmp_path / "results.tsv").stdout == first.stdout

    def test_files_of_another_run_are_left_alone(self, model: Path, tmp_path: Path) -> None:
        out = tmp_path / "results.tsv"
        certify(model, out)
        before = out.read_bytes()
        for more, difference in (
            (["--alpha", "0.01"], "alpha 0.001 there and 0.01 now"),
            (["--threads", "2"], "threads 1 there and 2 now"),
            (["--batch-size", "50"], "batch_size 100 there and 50 now"),
        ):
            result = certify(model, out, *more)
            assert result.exit_code == 1
            assert difference in result.stderr and "choose another --out" in result.stderr
        assert out.read_bytes() == before

    def test_a_run_that_was_refused_is_not_in_the_way_of_the_next(self, model: Path, tmp_path: Path) -> None:
        out = tmp_path / "results.tsv"
        refused = certify(model, out, "--noise", "discrete")
        assert refused.exit_code == 1 and "whole multiples of 1/255" in refused.stderr
        assert list(tmp_path.glob("results.*")) == []
        assert certify(model, out).exit_code == 0

    def test_a_file_of_unknown_origin_is_not_overwritten(self, model: Path, tmp_path: Path) -> None:
        out = tmp_path / "results.tsv"
        out.write_text("idx\tlabel\n")
        assert "nothing beside it says which run it is" in certify(model, out).stderr
        assert out.read_text() == "idx\tlabel\n"

    def test_two_runs_do_not_write_one_file(self, model: Path, tmp_path: Path) -> None:
        out = tmp_path / "results.tsv"
        certify(model, out)
        with out.with_suffix(".ndjson").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert "is being written by another radii" in certify(model, out).stderr

    def test_a_research_checkpoint_gives_the_counts_of_ours(self, model: Path, tmp_path: Path) -> None:
        from radii.rs_core.checkpoints import checkpoint

        foreign = tmp_path / "checkpoint.pth.tar"
        state = {f"module.1.{name}": part for name, part in checkpoint.load(model)[0].network.state_dict().items()}
        torch.save({"arch": "digits_cnn", "state_dict": state, "epoch": 2}, foreign)
        certify(model, tmp_path / "ours.tsv")
        result = certify(foreign, tmp_path / "theirs.tsv", "--sigma", "0.25", "--normalization", "none")
        assert result.exit_code == 0, result.output
        assert counted(tmp_path / "theirs.tsv") == counted(tmp_path / "ours.tsv")

    @pytest.mark.parametrize(
        ("flags", "sentence"),
        [
            (["--checkpoint", "nothing.safetensors"], "The checkpoint cannot be read (nothing.safetensors)"),
            (["--dataset", "nothing.npz"], "The data set cannot be read (nothing.npz)"),
            (["--n", "0"], "The specification is not valid (n): expected a value greater"),
            (["--alpha", "1"], "The specification is not valid (alpha)"),
            (["--sigma", "-1"], "The specification is not valid (sigma)"),
            (
                ["--start", "5000"],
                "at least one input of the data set digits, which has 1,797, got none from index 5000 on",
            ),
            (["--device", "tpu"], "expected auto, cpu, cuda or cuda:N, got 'tpu'"),
            (["--out", "results.csv"], "--out must end in .tsv"),
        ],
    )
    def test_mistakes_are_one_sentence(self, model: Path, tmp_path: Path, flags: list[str], sentence: str) -> None:
        result = certify(model, tmp_path / "results.tsv", *flags)
        assert result.exit_code == 1
        assert sentence in result.stderr and result.stderr.count("\n") == 1
        assert not (tmp_path / "results.tsv").exists()


class TestPredict:
    def test_predictions_are_written_and_summed_up(self, model: Path, tmp_path: Path) -> None:
        out = tmp_path / "predictions.tsv"
        some = ["--start", "1000", "--count", "5", "--n", "200"]
        text = done("predict", *TINY, *some, "--checkpoint", model, "--out", out).stdout
        rows = ndjson.read_ndjson(out.with_suffix(".ndjson"))
        assert [(row.index, sum(row.counts)) for row in rows] == [(index, 200) for index in range(1000, 1005)]
        assert out.read_text().startswith("idx\tlabel\tpredict\tcorrect\ttime\n1000\t")
        right = sum(row.correct for row in rows)
        assert f"{20 * right:.2f} %  ({right} correct)" in text
        assert json.loads(done("report", out.with_suffix(".ndjson"), "--json").stdout)["correct"] == right
        assert done("predict", *TINY, *some, "--checkpoint", model, "--out", out).stdout == text


class TestTrain:
    def test_a_run_that_was_stopped_ends_with_the_weights_of_an_unbroken_one(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from radii.rs_core.training import loop

        original, out = loop.train, tmp_path / "model.safetensors"

        def one_epoch(*arguments: Any, **options: Any) -> Iterator[Any]:
            for record in original(*arguments, **options):
                yield record
                if isinstance(record, loop.Snapshot):
                    raise KeyboardInterrupt

        flags = ["train", *TINY, *TRAINING, "--learning-rate", "0.05", "--out", str(out)]
        monkeypatch.setattr(loop, "train", one_epoch)
        stopped = radii(*flags)
        assert stopped.exit_code == 130 and "goes on from its last snapshot" in stopped.stderr
        assert not out.exists()
        monkeypatch.setattr(loop, "train", original)
        assert "choose another --out" in radii(*flags, "--seed", "1").stderr.lower()
        result = done(*flags)
        assert "epoch 2 of 2" in result.stdout and "epoch 1 of 2" not in result.stdout
        assert out.read_bytes() == model.read_bytes()
        assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]

    def test_a_mixing_network_is_trained_into_a_mix_that_can_be_certified(self, tmp_path: Path) -> None:
        mix, out = tmp_path / "mix.safetensors", tmp_path / "made.safetensors"
        checkpoint.save(*mixes.adaptive(), mix)
        few = [part for text in ("extra_clean=0", "attacked=1", "steps=1") for part in ("--set", f"method.{text}")]
        flags = ["--start-from", mix, "--epochs", "1", "--count", "64", "--learning-rate", "0.001", *few]
        preset = ["--preset", "cifar10/adaptive_smoothing/edm"]
        said = done("train", *TINY, *preset, *flags, "--out", out).stdout
        assert "epoch 1 of 1: loss" in said
        info = read_info(out)
        assert (info.method, info.sigma, info.epoch) == ("adaptive_smoothing", 0.25, 1)
        assert isinstance(info.composition, Mixed) and info.composition.mixing is not None
        assert (info.composition.mixing.gamma_bias, info.composition.standard_scale) == (1.05, 1.2)
        certify = ["--checkpoint", out, *TINY, "--n0", "10", "--n", "20", "--count", "2"]
        done("certify", *certify, "--out", tmp_path / "results.tsv")

    def test_a_mixing_network_is_not_trained_from_another_model(self, model: Path, tmp_path: Path) -> None:
        flags = ["--method", "adaptive_smoothing", "--start-from", model, "--out", tmp_path / "made.safetensors"]
        assert "(start_from): expected a mix of a standard and a robust" in refused("train", *TINY, *flags)

    def test_a_checkpoint_is_not_overwritten(self, model: Path) -> None:
        before = model.read_bytes()
        assert "exists: choose another --out" in refused("train", *TINY, *TRAINING, "--out", model)
        assert model.read_bytes() == before

    def test_the_checkpoint_says_what_it_is(self, model: Path) -> None:
        info = read_info(model)
        assert (info.architecture, info.sigma, info.method, info.epoch) == ("digits_cnn", 0.25, "gaussian", 2)
        assert info.provenance["spec"]["learning_rate"] == 0.05

    @pytest.mark.parametrize(
        ("flags", "sentence"),
        [
            (["--architecture", "lenet"], "expected images of shape (1, 28, 28)"),
            (["--architecture", "alexnet"], "There is no architecture of that name"),
            (["--method", "smoothadv2"], "The specification is not valid (method"),
            (["--epochs", "0"], "The specification is not valid (epochs)"),
            (["--out", "model.pt"], "--out must end in .safetensors"),
        ],
    )
    def test_mistakes_are_one_sentence(self, tmp_path: Path, flags: list[str], sentence: str) -> None:
        text = refused("train", *TINY, *TRAINING, "--out", tmp_path / "m.safetensors", *flags)
        assert sentence in text and text.count("\n") == 1


class TestSpecFiles:
    FLAGS = ("--device", "cpu", "--threads", "1")

    def test_flags_go_before_the_file(self, model: Path, tmp_path: Path) -> None:
        spec = tmp_path / "job.toml"
        spec.write_text(
            f'checkpoint = "{model}"\ndataset = "digits"\nn = 50\nn0 = 10\nseed = 3\n[inputs]\nstart = 7\ncount = 9\n'
        )
        out = tmp_path / "results.tsv"
        done("certify", "--spec", spec, "--n", "60", "--count", "2", "--out", out, *self.FLAGS)
        rows = ndjson.read_ndjson(out.with_suffix(".ndjson"))
        assert [(row.index, row.n, row.n0, row.seed) for row in rows] == [(7, 60, 10, 3), (8, 60, 10, 3)]

    def test_a_json_file_is_the_same(self, model: Path, tmp_path: Path) -> None:
        body = {"kind": "predict", "checkpoint": str(model), "dataset": "digits", "n": 20, "inputs": {"count": 1}}
        spec = tmp_path / "job.json"
        spec.write_text(json.dumps(body))
        done("predict", "--spec", spec, "--out", tmp_path / "results.tsv", *self.FLAGS)

    @pytest.mark.parametrize(
        ("name", "text", "sentence"),
        [
            ("a.toml", "n = ", "expected a TOML file, got"),
            ("a.json", "{", "expected a JSON file, got"),
            ("a.json", "[]", "expected an object with the fields of a job, got list"),
            ("a.toml", 'kind = "train"', "expected kind = \"certify\" or none, got 'train'"),
            (
                "a.toml",
                'checkpoint = "c"\ndataset = "digits"\nsamples = 5',
                "(samples): expected no field of this name",
            ),
            ("a.toml", 'checkpoint = "c"\ndataset = "digits"\ninputs = 5', "(inputs)"),
            ("a.toml", "n = 5", "checkpoint: a value, since it is required; dataset: a value"),
        ],
    )
    def test_a_wrong_file_is_one_sentence(self, tmp_path: Path, name: str, text: str, sentence: str) -> None:
        (tmp_path / name).write_text(text)
        said = refused("certify", "--spec", tmp_path / name, "--out", tmp_path / "results.tsv")
        assert sentence in said and said.count("\n") == 1
