"""The `radii` command in this process: what it printed, how it ended, what it refused."""

from pathlib import Path

from typer.testing import CliRunner, Result

from radii.service.cli.main import app


def radii(*arguments: str | Path) -> Result:
    """Runs a command, however it ends."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: str | Path) -> Result:
    """Runs a command that has to succeed."""
    result = radii(*arguments)
    assert result.exit_code == 0, result.output
    return result


def printed(*arguments: str | Path) -> str:
    """What a command that has to succeed writes to stdout."""
    return done(*arguments).stdout


def refused(*arguments: str | Path, code: int = 1) -> str:
    """What a command that cannot be done says on stderr: one sentence, unless its usage was wrong."""
    result = radii(*arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert code == 2 or result.stderr.count("\n") == 1
    return result.stderr
