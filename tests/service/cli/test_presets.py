"""`radii presets` and `radii methods`, and how preset, file, flags and ``--set`` make one training job."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests_support.cli import done, printed, refused
from typer.main import get_command

from radii.rs_core.literature import presets
from radii.rs_core.methods.registry import METHODS
from radii.rs_core.models.registry import ARCHITECTURES
from radii.rs_core.specs.jobs import TrainSpec, dump_spec, parse_spec
from radii.service.cli import specs
from radii.service.cli.main import app, whole
from radii.service.cli.presets import toml
from radii.service.local import train as training_run

NAME = "cifar10/smoothmix/0.5"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainSpec]:
    """What `radii train` would train."""
    seen: list[TrainSpec] = []
    monkeypatch.setattr(training_run, "run", lambda spec, out, **_: seen.append(spec))
    return seen


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The bodies that `radii submit` would send."""
    seen: list[dict[str, Any]] = []

    class Info:
        warnings: tuple[str, ...] = ()

    class Answer:
        id, info = "job_1", Info()

    class Scripted:
        def __enter__(self) -> "Scripted":
            return self

        def __exit__(self, *_: object) -> None: ...

        def submit(self, body: dict[str, Any]) -> Answer:
            seen.append(body)
            return Answer()

    monkeypatch.setattr("radii.service.cli.jobs.connect_patiently", lambda *_: Scripted())
    return seen


class TestPresets:
    def test_every_preset_has_a_line_with_its_method_and_its_result(self) -> None:
        lines = {line.split()[0]: line for line in printed("presets").splitlines()}
        assert set(presets.names()) <= set(lines)
        assert lines[NAME].split()[1:] == [
            "0.715?",
            "smoothmix",
            "m=2",
            "steps=4",
            "step_size=1",
            "eta=5",
            "mix_step=0",
        ]
        assert lines["cifar10/gaussian-cohen/0.12"].split()[1] == "-"

    def test_what_is_not_certain_has_a_question_mark(self) -> None:
        result = done("presets", "imagenet/macer")
        lines = {line.split()[0]: line for line in result.stdout.splitlines()}
        assert (
            "weight=6 deferred=false normalization=imagenet? lr_step=30? weight_decay" in lines["imagenet/macer/0.25"]
        )
        assert "weight=3? deferred=true? normalization=imagenet?" in lines["imagenet/macer/1.0"]
        assert "? is a guess" in result.stderr

    def test_the_beginning_of_names_chooses(self) -> None:
        names = [line.split()[0] for line in printed("presets", "cifar10/smoothmix").splitlines()[1:]]
        assert names == [f"cifar10/smoothmix/{sigma}" for sigma in ("0.25", "0.5", "1.0")]
        assert len(printed("presets", "mnist/").splitlines()) == 1 + sum(
            n.startswith("mnist/") for n in presets.names()
        )

    def test_json_has_everything(self) -> None:
        bodies = json.loads(printed("presets", "--json"))
        assert [body["name"] for body in bodies] == list(presets.names())
        one = json.loads(printed("presets", NAME, "--json"))
        assert one["spec"] == presets.preset(NAME).body()
        assert one in bodies

    @pytest.mark.parametrize("name", presets.names())
    def test_a_preset_is_printed_as_the_toml_that_it_is(self, name: str) -> None:
        assert tomllib.loads(toml(presets.preset(name))) == {"kind": "train", **presets.preset(name).body()}

    @pytest.mark.parametrize("name", presets.names())
    def test_every_note_is_printed_as_a_comment(self, name: str) -> None:
        found = presets.preset(name)
        said = " ".join(line.lstrip("# ") for line in toml(found).splitlines() if line.startswith("#"))
        assert found.source in said
        assert all(note in said for note in found.notes.values())

    def test_what_is_printed_can_be_trained(self, tmp_path: Path, trained: list[TrainSpec]) -> None:
        file = tmp_path / "job.toml"
        file.write_text(printed("presets", "imagenet/cat_rs/1.0"))
        printed("train", "--spec", file, "--dataset", "d.npz", "--out", tmp_path / "m.safetensors")
        printed("train", "--preset", "imagenet/cat_rs/1.0", "--dataset", "d.npz", "--out", tmp_path / "m.safetensors")
        assert trained[0] == trained[1]
        assert trained[0].method.name == "cat_rs"

    def test_an_unknown_name_is_one_sentence_that_names_what_there_is(self) -> None:
        assert "one of cifar10/smoothmix/0.25, " in refused("presets", "cifar10/smoothmix/0.3")
        assert "a method out of gaussian, stability" in refused("presets", "cifar10/smothmix")
        assert "a data set out of mnist, fmnist" in refused("presets", "svhn", "--json")


class TestMethods:
    def test_every_method_is_told_with_its_hyper_parameters(self) -> None:
        text = printed("methods")
        for name, row in METHODS.items():
            assert f"\n{name}\n" in f"\n{text}" and row.reference in text
        assert "    eta = 5.0\n        of the mixup loss\n" in text
        assert "    attack.epsilon = 1.0\n" in text
        assert "labels_first, prediction_first" in " ".join(text.split())

    def test_one_method_is_told_alone(self) -> None:
        text = printed("methods", "macer")
        assert text.startswith("macer\n") and "\nsmoothmix\n" not in text
        fields = [field for field in METHODS["macer"].record.__dataclass_fields__ if field != "name"]
        assert fields == [line.split()[0] for line in text.splitlines() if line.startswith("    ") and " = " in line]

    def test_json_has_the_schemas(self) -> None:
        assert [body["name"] for body in json.loads(printed("methods", "--json"))] == list(METHODS)
        assert json.loads(printed("methods", "macer", "--json"))["hyper_parameters"]["properties"]["m"]["default"] == 16

    def test_an_unknown_method_is_one_sentence(self) -> None:
        assert "expected one of gaussian, stability" in refused("methods", "trades")


class TestTrain:
    def train(self, tmp_path: Path, trained: list[TrainSpec], *more: str | Path) -> TrainSpec:
        printed("train", "--dataset", "d.npz", "--out", tmp_path / "m.safetensors", *more)
        return trained[-1]

    def test_a_preset_needs_only_data(self, tmp_path: Path, trained: list[TrainSpec]) -> None:
        found = self.train(tmp_path, trained, "--preset", NAME)
        assert found == parse_spec({"kind": "train", "dataset": "d.npz", **presets.preset(NAME).body()})

    def test_set_goes_before_flags_flags_before_the_file_the_file_before_the_preset(
        self, tmp_path: Path, trained: list[TrainSpec]
    ) -> None:
        file = tmp_path / "job.toml"
        file.write_text(f'preset = "{NAME}"\nepochs = 7\nlr_step = 8\nseed = 9\n[method]\nm = 3\neta = 4\n')
        more = ["--spec", file, "--lr-step", "5", "--seed", "6", "--set", "seed=1", "--set", "method.eta=2"]
        found = self.train(tmp_path, trained, *more)
        assert (found.sigma, found.epochs, found.lr_step, found.seed) == (0.5, 7, 5, 1)
        body = dump_spec(found)["method"]
        assert (body["steps"], body["m"], body["eta"]) == (4, 3, 2)

    def test_a_method_flag_replaces_the_presets_method(self, tmp_path: Path, trained: list[TrainSpec]) -> None:
        found = self.train(tmp_path, trained, "--preset", NAME, "--method", "macer", "--set", "method.m=4")
        assert dump_spec(found)["method"] == dump_spec(METHODS["macer"].record(m=4))
        assert found.sigma == 0.5

    def test_the_presets_own_method_stays(self, tmp_path: Path, trained: list[TrainSpec]) -> None:
        found = self.train(tmp_path, trained, "--preset", "mnist/smoothmix-eta1/1.0", "--method", "smoothmix")
        assert dump_spec(found)["method"]["steps"] == 8

    def test_set_makes_the_tables_it_needs(self, tmp_path: Path, trained: list[TrainSpec]) -> None:
        sets = ["certification.every=5", "certification.inputs.count=20", "test_dataset=t.npz", "keep=acr"]
        more = [part for text in sets for part in ("--set", text)]
        found = self.train(tmp_path, trained, "--preset", NAME, *more)
        assert found.certification is not None
        assert (found.certification.every, found.certification.inputs.count, found.keep) == (5, 20, "acr")

    def test_set_takes_json(self, tmp_path: Path, trained: list[TrainSpec]) -> None:
        sets = ["normalization.mean=[0.5, 0.5, 0.5]", "normalization.std=[1,1,1]", "method.max_norm=null"]
        more = [part for text in sets for part in ("--set", text)]
        found = self.train(tmp_path, trained, "--preset", NAME, *more)
        assert found.normalization.mean == (0.5, 0.5, 0.5)  # type: ignore[union-attr]

    def test_a_method_name_that_is_set_brings_no_hyper_parameters_of_the_files_method(
        self, tmp_path: Path, trained: list[TrainSpec]
    ) -> None:
        file = tmp_path / "job.toml"
        file.write_text('architecture = "lenet"\nsigma = 1\n[method]\nname = "smoothmix"\neta = 4\n')
        found = self.train(tmp_path, trained, "--spec", file, "--set", "method.name=stability")
        assert dump_spec(found)["method"] == {"name": "stability", "weight": 2.0}

    FLAGS = (
        ("--precision", "bf16", "precision", "bf16"),
        ("--memory-format", "channels_last", "memory_format", "channels_last"),
        ("--forward-batch", "64", "forward_batch", 64),
        ("--loader-processes", "2", "loader_processes", 2),
        ("--keep", "loss", "keep", "loss"),
        ("--start-from", "m.safetensors", "start_from", "m.safetensors"),
        ("--lr-drop", "exact", "lr_drop", "exact"),
        ("--optimizer", "adamw", "optimizer", "adamw"),
        ("--schedule", "cosine", "schedule", "cosine"),
        ("--lr-warmup", "0.04", "lr_warmup", 0.04),
        ("--clip-norm", "10", "clip_norm", 10.0),
        ("--crop-size", "32", "crop_size", 32),
    )

    @pytest.mark.parametrize(("flag", "text", "field", "value"), FLAGS)
    def test_every_new_field_has_a_flag_in_both_commands(
        self,
        tmp_path: Path,
        trained: list[TrainSpec],
        submitted: list[dict[str, Any]],
        flag: str,
        text: str,
        field: str,
        value: Any,
    ) -> None:
        preset = ["--preset", "imagenet/gaussian/0.5"]
        assert getattr(self.train(tmp_path, trained, *preset, flag, text), field) == value
        printed("submit", *preset, "--dataset", "ds_1", flag, text)
        assert submitted == [{"kind": "train", "preset": preset[1], "dataset": "ds_1", field: value}]

    @pytest.mark.parametrize(
        ("more", "sentence"),
        [
            (["--preset", "cifar10/smoothmix/2"], "(preset): expected one of cifar10/smoothmix/0.25"),
            (["--preset", NAME, "--set", "method.steps"], "(--set): expected FIELD=VALUE"),
            (["--preset", NAME, "--set", "=3"], "(--set): expected FIELD=VALUE"),
            (["--preset", NAME, "--set", "method..steps=3"], "(--set): expected FIELD=VALUE"),
            (["--preset", NAME, "--set", "method.step=3"], "step"),
            (["--preset", NAME, "--set", "sigma=NaN"], "sigma"),
            (["--preset", NAME, "--set", "kind=certify"], "expected kind = \"train\" or none, got 'certify'"),
            (["--preset", NAME, "--set", "method=macer"], "method"),
            (["--method", "smoothmix"], "architecture"),
        ],
    )
    def test_mistakes_are_one_sentence(self, tmp_path: Path, more: list[str], sentence: str) -> None:
        assert sentence in refused("train", "--dataset", "d.npz", "--out", tmp_path / "m.safetensors", *more)


class TestSubmit:
    def test_the_service_fills_a_preset_in(self, submitted: list[dict[str, Any]]) -> None:
        printed("submit", "--preset", NAME, "--dataset", "ds_1", "--epochs", "3", "--set", "method.steps=2")
        body = {"kind": "train", "preset": NAME, "dataset": "ds_1", "epochs": 3, "method": {"steps": 2}}
        assert submitted == [body]

    def test_another_method_goes_with_its_name(self, submitted: list[dict[str, Any]]) -> None:
        printed("submit", "--preset", NAME, "--dataset", "ds_1", "--method", "macer")
        assert submitted[0]["method"] == {"name": "macer"}

    def test_set_is_for_every_kind_of_job(self, submitted: list[dict[str, Any]]) -> None:
        printed("submit", "--kind", "certify", "--set", "inputs.count=3", "--set", "n=50")
        assert submitted == [{"kind": "certify", "inputs": {"count": 3}, "n": 50}]

    def test_a_kind_that_is_named_is_kept(self, submitted: list[dict[str, Any]]) -> None:
        printed("submit", "--set", "kind=predict")
        assert submitted == [{"kind": "predict"}]


def test_a_word_is_text_and_all_else_json() -> None:
    given = {"bf16": "bf16", "2": 2, "0.5": 0.5, "true": True, '"2"': "2", "NaN": "NaN", "ds_1": "ds_1", "a=b": "a=b"}
    for text, value in given.items():
        assert specs.merged(None, None, {}, [f"x={text}"]) == {"x": value}


def test_help_says_where_to_read_what_there_is_and_lists_no_names_that_go_stale() -> None:
    group: Any = get_command(app)
    for command in ("train", "submit"):
        options = {option.name: option.help for option in whole(command, group.commands[command]).params}
        assert "`radii methods`" in options["method"] and "`radii presets`" in options["preset"]
        assert "`radii architectures`" in options["architecture"]
        assert not [name for name in METHODS if name in options["method"].partition("(default")[0]]
        assert not [name for name in ARCHITECTURES if name in options["architecture"]]
    for command in ("train", "certify", "predict"):
        options = {option.name: option.help for option in whole(command, group.commands[command]).params}
        assert "photos.zip@256/224" in options["dataset"]
