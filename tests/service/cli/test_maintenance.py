"""`radii doctor`, `radii backup` and `radii restore` as commands: what they say, and what waits until they are at their end."""

import json
import re
from pathlib import Path

from tests_support import things
from tests_support.cli import done, radii, refused

from radii.worker.store.backup import restore_marker
from radii.worker.store.database import Database


def _cut_off(data: Path, backup: Path) -> None:
    """As kill -9 leaves a folder after the first files."""
    data.mkdir()
    (data / restore_marker.FILE).write_text(json.dumps({"source": str(backup), "began": 1.0}))


def test_nothing_begins_where_a_restore_was_cut_off_until_it_is_run_again(tmp_path: Path) -> None:
    here, there, copy = tmp_path / "here", tmp_path / "there", tmp_path / "copy"
    done("key", "create", "--tenant", "acme", "--data", here)
    done("backup", copy, "--data", here)
    _cut_off(there, copy)
    for command in (("up", "--port", "0"), ("worker",), ("migrate",), ("key", "list"), ("backup", tmp_path / "other")):
        text = refused(*command, "--data", there)
        assert text.endswith(f"was cut off, or still runs: run `radii restore {copy}` again to its end.\n")
    looked = radii("doctor", "--data", there)
    assert looked.exit_code == 1 and f"restore: run `radii restore {copy}` again" in looked.stdout
    assert "radii migrate" not in looked.stdout
    done("restore", copy, "--data", there)
    assert "acme" in done("key", "list", "--data", there).stdout


def test_a_file_that_is_missing_is_told_with_what_it_belongs_to(tmp_path: Path) -> None:
    here = tmp_path / "here"
    done("migrate", "--data", here)
    database = Database(f"sqlite:///{here / 'radii.db'}")
    dataset_id = things.dataset(database, here / "blobs", things.tenant(database))
    database.close()
    (path,) = (here / "blobs").glob("??/*")
    path.unlink()
    told = radii("backup", tmp_path / "copy", "--data", here)
    assert told.exit_code == 1
    assert re.search(rf"1 files are missing: {path.name} \(data set .+, {dataset_id}\)\.", told.stderr)


def test_a_mistyped_data_folder_is_one_sentence_and_is_not_made(tmp_path: Path) -> None:
    text = refused("backup", tmp_path / "copy", "--data", tmp_path / "mistyped")
    assert "which is none: is it the one of RADII_DATA" in text
    assert list(tmp_path.iterdir()) == []
