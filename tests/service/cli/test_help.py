"""`radii --help`: quick, whole, and true to the records of the jobs."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support.cli import done, refused
from typer.main import get_command

import radii
from radii.rs_core.specs.jobs import CertifySpec, PredictSpec, TrainSpec
from radii.service.cli.main import app, whole


def commands() -> Iterator[Any]:
    group: Any = get_command(app)
    for name, command in group.commands.items():
        yield from (
            [(f"key {sub}", row) for sub, row in command.commands.items()]
            if name == "key"
            else [(name, whole(name, command))]
        )


class TestHelp:
    def test_help_comes_without_anything_heavy(self) -> None:
        heavy = "torch scipy numpy matplotlib sqlalchemy httpx celery fastapi sklearn alembic"
        code = (
            "import sys; from typer.testing import CliRunner; from radii.service.cli.main import app;"
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
        project = tomllib.loads((Path(radii.__file__).parents[1] / "pyproject.toml").read_text())["project"]
        assert done("--version").stdout == f"radii {project['version']}\n"

    def test_wrong_usage_ends_with_2(self) -> None:
        assert "No such command" in refused("certfy", code=2)
        assert "No such option" in refused("certify", "--sgima", "1", code=2)
        assert "Missing option" in refused("certify", code=2)


PLAIN = {"checkpoint", "dataset"}
"""Options of jobs that have no default: what they mean is their name."""
