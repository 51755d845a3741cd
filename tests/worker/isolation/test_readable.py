"""A confined process can read its modules, and no data next to them."""

import sys
from pathlib import Path
from typing import Any

import pytest
from tests_support import confined, escape_target

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
