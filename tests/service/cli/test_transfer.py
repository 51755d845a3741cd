"""`radii add-dataset`: what its flags ask the client for."""

from typing import Any

import pytest
from typer.testing import CliRunner, Result

from radii.service.cli.main import app


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the client is asked for."""
    seen: list[dict[str, Any]] = []

    class Made:
        id, state, count, shape, num_classes, source = "ds_1", "ready", 3, [3, 224, 224], 2, None

    class Scripted:
        def __enter__(self) -> "Scripted":
            return self

        def __exit__(self, *_: object) -> None: ...

        def add_dataset(self, name: str, files: Any, **options: Any) -> Made:
            seen.append({"name": name, "files": files, **options})
            return Made()

    monkeypatch.setattr("radii.service.cli.registration.connect_patiently", lambda *_: Scripted())
    return seen


@pytest.fixture
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("photos") / "photos.zip"
    path.write_bytes(b"")
    return str(path)


def add(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["add-dataset", *arguments])


def test_photographs_are_framed_as_the_flags_say(asked: list[dict[str, Any]], photos: str) -> None:
    result = add("imagenet", photos, "--resize", "256", "--center-crop", "224")
    assert result.exit_code == 0, result.output
    assert result.stdout == "ds_1\n"
    assert (asked[0]["resize"], asked[0]["center_crop"]) == (256, 224)


def test_without_the_flags_they_stay_as_they_are(asked: list[dict[str, Any]], photos: str) -> None:
    assert add("imagenet", photos).exit_code == 0
    assert (asked[0]["resize"], asked[0]["center_crop"]) == (None, None)


@pytest.mark.parametrize("flag", ["--resize", "--center-crop"])
@pytest.mark.parametrize("pixels", ["0", "4097", "half"])
def test_a_side_that_no_service_takes_is_refused_before_anything_is_sent(
    asked: list[dict[str, Any]], photos: str, flag: str, pixels: str
) -> None:
    assert add("imagenet", photos, flag, pixels).exit_code == 2
    assert asked == []


def test_the_number_of_photographs_is_what_the_flag_says(asked: list[dict[str, Any]], photos: str) -> None:
    assert add("corrupted", photos, "--photographs", "10000").exit_code == 0
    assert add("clean", photos).exit_code == 0
    assert [one["photographs"] for one in asked] == [10_000, None]
    assert add("corrupted", photos, "--photographs", "1").exit_code == 2


def test_labels_that_repeat_are_noted(
    asked: list[dict[str, Any]], photos: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--photographs" not in add("corrupted", photos).output
    monkeypatch.setattr("radii.service.cli.registration.connect_patiently", _connect_to_one_that_found_a_period)
    result = add("corrupted", photos)
    assert result.stdout == "ds_1\n" and "register them with --photographs 500" in result.stderr


def _connect_to_one_that_found_a_period(*_: object) -> Any:
    from contextlib import nullcontext
    from types import SimpleNamespace

    made = SimpleNamespace(
        id="ds_1", state="ready", count=3, shape=[1, 2, 2], num_classes=2, source={"label_period": 500}
    )
    return nullcontext(SimpleNamespace(add_dataset=lambda *_, **__: made))
