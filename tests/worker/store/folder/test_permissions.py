"""What users have uploaded can be read by the user that runs radii, and by nobody else of the machine."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_support.live import running

from radii.service.client.client import Client
from radii.worker.settings import Settings
from radii.worker.store.backup import create
from radii.worker.store.folder.permissions import make_private, open_to_others, private_files


@pytest.fixture(autouse=True)
def careless() -> Iterator[None]:
    """A umask that lets everybody read and write."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_paths(folder: Path) -> list[str]:
    """What in the folder, itself included, others could use."""
    every = [folder, *folder.rglob("*")]
    return [str(path.relative_to(folder)) for path in every if stat.S_IMODE(path.lstat().st_mode) & 0o077]


def test_everything_that_a_service_and_its_worker_write_is_private(tmp_path: Path) -> None:
    with running(tmp_path / "data") as (url, _), Client(url) as client:
        digits = client.add_dataset("digits", builtin="digits")
        training = client.train(
            dataset=digits, architecture="digits_cnn", sigma=0.25, epochs=1, batch_size=64, inputs={"count": 64}
        ).wait(check=True)
        model = str(training.checkpoint_id)
        client.certify(checkpoint=model, dataset=digits, n=100, inputs={"count": 2}).wait(check=True)
        client.http.send("POST", "/v1/uploads", json={"name": "parts", "size": 5})
        assert open_paths(tmp_path / "data") == []
    assert open_paths(tmp_path / "data") == []
    create.back_up(Settings(data=tmp_path / "data"), tmp_path / "backup")
    assert open_paths(tmp_path / "backup") == []


def test_a_folder_of_an_earlier_version_is_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = tmp_path / "data"
    (data / "blobs" / "ab").mkdir(parents=True)
    (data / "radii.db").touch()
    settings = Settings(data=data)
    assert open_to_others(settings) == [data, data / "blobs", data / "radii.db"]
    make_private(settings)
    assert open_to_others(settings) == []
    assert "their permissions were taken away" in caplog.text


def test_of_a_folder_with_other_things_only_what_is_ours_is_closed(tmp_path: Path) -> None:
    data = tmp_path / "shared"
    data.mkdir()
    for name in ("radii.db", "notes.txt"):
        (data / name).touch()
    make_private(Settings(data=data))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (data, *data.iterdir())}
    assert modes == {"shared": 0o777, "radii.db": 0o600, "notes.txt": 0o666}


def test_a_group_shares_the_folder_where_the_operator_says_so(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", group_access=True)
    make_private(settings)
    (settings.data / "radii.db").touch()
    assert stat.S_IMODE(settings.data.stat().st_mode) == 0o770
    assert stat.S_IMODE((settings.data / "radii.db").stat().st_mode) == 0o660
    assert open_to_others(settings) == []


def test_a_link_is_left_alone(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir(mode=0o700)
    elsewhere.mkdir()
    (data / "blobs").symlink_to(elsewhere)
    make_private(Settings(data=data))
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o777


def test_private_files_puts_the_umask_back(tmp_path: Path) -> None:
    with private_files(Settings(data=tmp_path)):
        (tmp_path / "inside").touch()
    (tmp_path / "outside").touch()
    assert stat.S_IMODE((tmp_path / "inside").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "outside").stat().st_mode) == 0o666
