"""The `radii` command: help, local runs and going on with them, reports of results files, and the server's commands.

Commands that need a running service are tested in ``test_cli_live``.
"""

import fcntl
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner, Result

from rs_core.certify import engine
from rs_core.spec import CertifySpec, PredictSpec, TrainSpec
from service import records
from service.cli import app

TSV = (
    "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
    "0\t3\t3\t0.500\t1\t0:00:01.0\n"
    "20\t8\t8\t0.250\t1\t0:00:01.0\n"
    "40\t8\t0\t0.900\t0\t0:00:01.0\n"
    "60\t0\t-1\t0.0\t0\t0:00:01.0\n"
)
TINY = ["--dataset", "digits", "--device", "cpu", "--threads", "1"]
TRAINING = ["--architecture", "digits_cnn", "--sigma", "0.25", "--epochs", "2", "--count", "512", "--batch-size", "64"]
CERTIFYING = ["--start", "1000", "--step", "50", "--count", "6", "--n", "400", "--n0", "20", "--seed", "5"]


def radii(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: str | Path) -> Result:
    result = radii(*arguments)
    assert result.exit_code == 0, result.output
    return result


def refused(*arguments: str | Path, code: int = 1) -> str:
    """What a command that cannot be done says: one sentence, on stderr."""
    result = radii(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stderr


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


def commands() -> Iterator[Any]:
    group: Any = get_command(app)
    for name, command in group.commands.items():
        yield from (
            [(f"key {sub}", row) for sub, row in command.commands.items()] if name == "key" else [(name, command)]
        )


class TestHelp:
    def test_help_comes_without_anything_heavy(self) -> None:
        heavy = "torch scipy numpy matplotlib sqlalchemy httpx celery fastapi sklearn alembic"
        code = (
            "import sys; from typer.testing import CliRunner; from service.cli import app;"
            "assert 'certify' in CliRunner().invoke(app, ['--help']).output;"
            f"print([name for name in {heavy.split()} if name in sys.modules])"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert run.stdout.strip() == "[]"

    @pytest.mark.parametrize("name", [name for name, _ in commands()])
    def test_every_command_has_help(self, name: str) -> None:
        assert "Usage: " in done(*name.split(), "--help").output

    def test_every_option_tells_what_it_is_and_what_holds_without_it(self) -> None:
        for name, command in commands():
            for option in command.params:
                if option.param_type_name != "option" or option.name == "help":
                    continue
                said = option.required or option.default not in (None,) or "default: " in option.help
                assert option.help and (said or "(required)" in option.help or option.name in PLAIN), (
                    name,
                    option.name,
                )

    @pytest.mark.parametrize("record", [TrainSpec, CertifySpec, PredictSpec])
    def test_help_tells_the_defaults_of_the_specification(self, record: Any) -> None:
        options = {option.name: option.help for option in dict(commands())[record.kind].params}
        checked = 0
        for field in record.__dataclass_fields__.values():
            stated = re.search(r"\(default: ([-\w.]+)\)", options.get(field.name) or "")
            value = getattr(field.default, "default", field.default)
            if stated and isinstance(value, int | float | str):
                assert type(value)(stated[1]) == value, field.name
                checked += 1
        assert checked >= 3

    def test_version_is_that_of_the_distribution(self) -> None:
        assert re.fullmatch(r"radii \d+\.\d+\.\d+\n", done("--version").stdout)

    def test_wrong_usage_ends_with_2(self) -> None:
        assert "No such command" in refused("certfy", code=2)
        assert "No such option" in refused("certify", "--sgima", "1", code=2)
        assert "Missing option" in refused("certify", code=2)


PLAIN = {"checkpoint", "dataset"}
"""Options of jobs that have no default: what they mean is their name."""


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


class TestCertify:
    def test_results_are_written_with_their_evidence_and_reported(self, model: Path, tmp_path: Path) -> None:
        out = tmp_path / "results.tsv"
        text = certify(model, out).stdout
        rows = records.read_ndjson(out.with_suffix(".ndjson"))
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

    def test_ctrl_c_inside_an_input_loses_no_votes(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole, cut = tmp_path / "whole.tsv", tmp_path / "cut.tsv"
        certify(model, whole)
        monkeypatch.setattr(engine, "SECONDS_BETWEEN_PROGRESS", 0.0)
        resumed: list[engine.Progress | None] = []
        original = engine.certify

        def until_the_third(*arguments: Any, resume: engine.Progress | None, **options: Any) -> Iterator[Any]:
            resumed.append(resume)
            for record in original(*arguments, resume=resume, **options):
                yield record
                if len(resumed) == 1 and record.index == 1100 and record.drawn >= 220:
                    raise KeyboardInterrupt

        monkeypatch.setattr(engine, "certify", until_the_third)
        stopped = certify(model, cut)
        assert stopped.exit_code == 130 and "Stopped after 2 of 6 inputs" in stopped.stderr
        assert certify(model, cut).exit_code == 0
        assert resumed[0] is None and resumed[1] is not None
        assert (resumed[1].index, resumed[1].drawn) == (1100, 220)
        assert counted(cut) == counted(whole)
        assert not cut.with_suffix(".progress.json").exists()

    def test_a_finished_run_is_not_done_again(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = certify(model, tmp_path / "results.tsv")
        monkeypatch.setattr("rs_core.certify.sampling.Sampler.votes", None)
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

    def test_a_file_of_unknown_origin_is_not_overwritten(self, model: Path, tmp_path: Path) -> None:
        out = tmp_path / "results.tsv"
        out.write_text(TSV)
        assert "nothing beside it says which run it is" in certify(model, out).stderr
        assert out.read_text() == TSV

    def test_two_runs_do_not_write_one_file(self, model: Path, tmp_path: Path) -> None:
        out = tmp_path / "results.tsv"
        certify(model, out)
        with out.with_suffix(".ndjson").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert "is being written by another radii" in certify(model, out).stderr

    def test_a_research_checkpoint_gives_the_counts_of_ours(self, model: Path, tmp_path: Path) -> None:
        from rs_core import checkpoint

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
            (["--start", "5000"], "at least one input of a data set of 1,797, got none from index 5000 on"),
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
        rows = records.read_ndjson(out.with_suffix(".ndjson"))
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
        from rs_core import training

        original, out = training.train, tmp_path / "model.safetensors"

        def one_epoch(*arguments: Any, **options: Any) -> Iterator[Any]:
            for record in original(*arguments, **options):
                yield record
                if isinstance(record, training.Snapshot):
                    raise KeyboardInterrupt

        flags = ["train", *TINY, *TRAINING, "--learning-rate", "0.05", "--out", str(out)]
        monkeypatch.setattr(training, "train", one_epoch)
        stopped = radii(*flags)
        assert stopped.exit_code == 130 and "goes on from its last snapshot" in stopped.stderr
        assert not out.exists()
        monkeypatch.setattr(training, "train", original)
        assert "choose another --out" in radii(*flags, "--seed", "1").stderr.lower()
        result = done(*flags)
        assert "epoch 2 of 2" in result.stdout and "epoch 1 of 2" not in result.stdout
        assert out.read_bytes() == model.read_bytes()
        assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]

    def test_a_checkpoint_is_not_overwritten(self, model: Path) -> None:
        before = model.read_bytes()
        assert "exists: choose another --out" in refused("train", *TINY, *TRAINING, "--out", model)
        assert model.read_bytes() == before

    def test_the_checkpoint_says_what_it_is(self, model: Path) -> None:
        from rs_core.checkpoint_info import read_info

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
        rows = records.read_ndjson(out.with_suffix(".ndjson"))
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


class TestServer:
    def test_keys_are_made_listed_and_revoked(self, tmp_path: Path) -> None:
        made = done("key", "create", "--tenant", "acme", "--name", "laptop", "--data", tmp_path)
        assert re.fullmatch(r"radii_\S{40,}\n", made.stdout)
        identifier = re.search(r"key_\w+", made.stderr)
        assert identifier is not None
        listed = done("key", "list", "--data", tmp_path).stdout
        assert identifier[0] in listed and "acme" in listed and "works" in listed and made.stdout.strip() not in listed
        done("key", "revoke", identifier[0], "--data", tmp_path)
        assert "revoked" in done("key", "list", "--data", tmp_path).stdout
        assert "no key" in refused("key", "revoke", identifier[0], "--data", tmp_path)

    def test_migrate_goes_up_and_down(self, tmp_path: Path) -> None:
        assert re.search(r"was empty and is \w+ now", done("migrate", "--data", tmp_path).stdout)
        assert re.search(r"was \w+ and is empty now", done("migrate", "--down", "base", "--data", tmp_path).stdout)

    def test_another_address_needs_a_key(self, tmp_path: Path) -> None:
        text = refused("up", "--host", "0.0.0.0", "--port", "0", "--data", tmp_path)
        assert "radii key create" in text and text.count("\n") == 1

    def test_one_service_per_folder(self, tmp_path: Path) -> None:
        with (tmp_path / "radii.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write("4711\n")
            file.flush()
            text = refused("up", "--port", "0", "--data", tmp_path)
        assert "already served by another radii (process 4711)" in text

    def test_a_wrong_setting_is_one_sentence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RADII_LEASE", "-3")
        assert "The setting RADII_LEASE is not valid" in refused("up", "--data", tmp_path)

    def test_a_worker_refuses_a_database_without_tables(self, tmp_path: Path) -> None:
        assert "radii migrate" in refused("worker", "--data", tmp_path)

    def test_a_database_that_is_away_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RADII_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        assert refused("migrate").startswith("radii: The database cannot be used: ")


def test_no_service_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client_http.time.sleep", lambda seconds: None)
    text = refused("status", "job_1", "--server", "127.0.0.1:1")
    assert text.startswith("radii: No answer from http://127.0.0.1:1: ") and text.count("\n") == 1
