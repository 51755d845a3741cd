"""A confined process can read its modules, and no data next to them."""

import sys
from pathlib import Path
from typing import Any

import pytest
from tests_support import confined, escape_target

import radii
from radii.worker.isolation import readable
from radii.worker.sandbox import converter

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has these restrictions: they were NOT tested"
)


def test_the_folder_of_registered_architectures_gives_its_modules_and_no_data(
    target: dict[str, Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    escape_target.need_restrictions()
    folder = place / "operator"
    (folder / "below").mkdir(parents=True)
    for name in ("architectures.toml", "nets.py", "data.zip", "credentials.toml", "below/secret"):
        (folder / name).write_text("")
    tried = {name: f"escape._read({str(folder / name)!r})" for name in ("nets.py", "data.zip", "credentials.toml")}
    tried |= {"list": f"escape._list({str(folder)!r})", "list below": f"escape._list({str(folder / 'below')!r})"}
    chosen = "escape.ATTEMPTS = {{" + ", ".join(f"{name!r}: {code}" for name, code in tried.items()) + "}}"
    confined.substituted(
        monkeypatch, converter, confined.CONVERTER, without=chosen.replace("{{", "{").replace("}}", "}")
    )
    assert escape_target.reached(confined.in_converter(target, architectures=str(folder / "architectures.toml"))) == {
        "nets.py"
    }


def test_the_links_of_a_checkout_are_readable_where_only_the_package_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an editable installation, whose import hook knows the folder ``radii`` alone: the rest are links out of it."""
    package = Path(radii.__file__).parent
    outside = [entry for entry in sys.path if entry and Path(entry).resolve() != package.parent.resolve()]
    monkeypatch.setattr(sys, "path", outside)
    found = readable.interpreter()
    for name in ("rs_core", "worker", "service"):
        real = (package / name).resolve()
        assert any(folder == real or folder in real.parents for folder in found), real


def test_links_in_a_package_are_followed_and_those_in_a_folder_of_data_are_not(tmp_path: Path) -> None:
    for name in ("package", "data", "target"):
        (tmp_path / name).mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    for name in ("package", "data"):
        (tmp_path / name / "part").symlink_to(tmp_path / "target")
    assert set(readable._linked([tmp_path / "package"])) == {(tmp_path / "target").resolve()}
    assert not set(readable._linked([tmp_path / "data"]))
