"""Confinement as every kind of user: root, a user without rights, and one that runs much else."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support import confined, escape_target, pictures

from radii.rs_core.data.dataset_file import open_dataset
from radii.worker.isolation.identity import NOBODY
from radii.worker.sandbox import converter, decoder_client

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has these restrictions: they were NOT tested"
)


def test_code_in_the_converter_of_a_user_without_rights_reaches_nothing(
    target_of_other: dict[str, Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders that are closed to that user are on the path, and a package has been imported from one of them."""
    escape_target.need_restrictions()
    (place / "closed" / "package").mkdir(parents=True)
    (place / "closed").chmod(0o700)
    closed = str(place / "closed")
    imported = (
        f"sys.path.append({closed!r}); m = type(sys)('m'); m.__path__ = [{closed!r} + '/package']; sys.modules['m'] = m"
    )
    confined.substituted(monkeypatch, converter, confined.CONVERTER, without=f"{imported}; {confined.AS_OTHER}")
    found = confined.in_converter(target_of_other)
    assert escape_target.reached(found) == set()
    assert (
        found["who"] == [confined.OTHER, confined.OTHER, []] or found["who"][0] == NOBODY
    )  # the number that a user namespace shows
    assert set(found["missing"]) <= {"network namespace"}


def test_code_in_the_decoder_of_a_user_without_rights_reaches_nothing(
    target_of_other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    escape_target.need_restrictions()
    confined.substituted(monkeypatch, decoder_client, confined.DECODER, without=confined.AS_OTHER)
    found = confined.in_decoder(target_of_other)
    assert escape_target.reached(found) == set() and found["threads"] != "reached"


@pytest.mark.parametrize(("uid", "without"), [(NOBODY, ""), (confined.OTHER, confined.AS_OTHER)])
def test_other_threads_of_the_user_stop_neither_decoder_nor_converter(
    target: dict[str, Any], place: Path, uid: int, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if without and os.geteuid() != 0:
        pytest.skip("only root can start processes of another user: NOT tested")
    decoder, image = decoder_client.Decoder(), np.arange(64, dtype=np.uint8).reshape(8, 8)
    with confined.other_threads(uid):
        with monkeypatch.context() as patched:
            confined.substituted(patched, decoder_client, confined.PLAIN, without=without, name="decoder")
            found = decoder.decode(pictures.png(image), shape=(1, 8, 8), most=1)
        decoder.close()
        assert (found == image).all()
        if without:
            Path(target["output"]).touch()
            for path in place.rglob("*"):
                os.chown(path, confined.OTHER, confined.OTHER)
        confined.substituted(monkeypatch, converter, confined.PLAIN, without=without, name="converter")
        request = {"what": "dataset", "files": {"mine.npz": target["input"]}, "out": target["output"]}
        assert converter.convert(request, seconds=60.0, memory=confined.MEMORY)["columns"]["count"] == 4


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has such files: NOT tested")
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_without_landlock_a_converter_of_root_reads_nothing_that_is_open_to_root_alone(
    target: dict[str, Any], mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The input is one of root's files, in a folder that is closed to others, and is converted."""
    Path(target["input"]).chmod(mode)
    confined.substituted(monkeypatch, converter, confined.CONVERTER, without="landlock.abi = refuse")
    found = confined.in_converter(target)
    closed = {
        "list the data folder",
        "list blobs",
        "read a blob",
        "write a blob",
        "read the database",
    }
    assert escape_target.reached(found) & {*closed, "read a file of the home folder", "write the database"} == set()
    assert "Landlock" in found["missing"]
    assert len(open_dataset(Path(target["output"]))) == 4
    assert Path(target["output"]).stat().st_uid == 0
