"""The ``radii`` command. Each command is a function in ``radii.service.cli``; here they get their names, and mistakes
become one sentence on stderr.

Exit codes: 0 done; 1 could not be done, or the job did not succeed; 2 wrong usage; 3 how the job ended is not
known; 130 stopped by Ctrl-C. Nothing heavy is imported before a command runs, so that help comes at once.
"""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from radii.extras import extra_of, how_to_install
from radii.service.cli import (
    architectures,
    ask,
    compose,
    jobs,
    local,
    maintenance,
    presets,
    registration,
    server,
    settings,
    transfer,
    usage,
)
from radii.service.cli.compare import compare
from radii.service.cli.corrupt import corrupt
from radii.service.cli.evaluate import evaluate
from radii.service.cli.job_options import completed
from radii.service.cli.plan import plan
from radii.service.cli.published import published
from radii.service.cli.report import report
from radii.service.cli.verify import verify
from radii.service.client.errors import ClientError
from radii.service.console import CommandError, note, say
from radii.worker.processes import launch

EXTRAS = {
    **dict.fromkeys(("certify", "compose", "evaluate", "predict", "train"), "torch"),
    "corrupt": "corruptions",
    **dict.fromkeys(("backup", "doctor", "key", "migrate", "restore", "settings"), "server"),
    **dict.fromkeys(("up", "worker"), "server,torch"),
}
"""Everything that a command needs, where it is more than the package that is missed first."""
LOCAL, REMOTE, SERVER = "On local files, with no service", "With a service", "Run a service"
CHOICE = "What there is to choose from"


SETTINGS = {"help_option_names": ["-h", "--help"]}
COMMANDS: dict[str, Callable[..., Any]] = {}
"""The functions of the commands, by name."""


class CommandGroup(TyperGroup):
    """A group of commands whose mistakes are one sentence each, and which get the options of their jobs when they are used."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The command that is used, with all its options."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found and whole(name or "", found), rest

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; ends with exit code 1 where it raises one of the errors that a user can cause."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            text = sentence(error, ctx.invoked_subcommand)
            if text is None:
                raise
            note(f"radii: {text}")
            raise typer.Exit(error.code if isinstance(error, CommandError) else 1) from None


def whole(name: str, command: Any) -> Any:
    """The command with the options of its jobs."""
    function = completed(COMMANDS.get(name, lambda: None))
    if function is None:
        return command
    alone = typer.Typer(add_completion=False, context_settings=SETTINGS, pretty_exceptions_enable=False)
    alone.command(name)(function)
    made: Any = get_command(alone)
    return made


def sentence(error: Exception, command: str | None = None) -> str | None:
    """What a person reads of an error of a command; ``None`` where it is a fault of the program, whose traceback is wanted."""
    from radii.rs_core.errors import RadiiError

    if isinstance(error, CommandError | ClientError | RadiiError):
        return str(error)
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        reason = error.strerror or str(error)
        return f"{error.filename}: {reason}." if error.filename else f"{reason}."
    if isinstance(error, ModuleNotFoundError) and (extra := extra_of(error.name)) is not None:
        extra = EXTRAS.get(command or "", extra)
        return f"This command needs the package {error.name}, which is not installed: `{how_to_install(extra)}`."
    return "There is not enough memory for this." if isinstance(error, MemoryError) else None


def _version(wanted: bool) -> None:
    if wanted:
        from radii.version import installed_version

        say(f"radii {installed_version()}")
        raise typer.Exit


app = typer.Typer(
    cls=CommandGroup,
    name="radii",
    help="Train, certify and report randomized-smoothing classifiers, locally or with a service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train, certify and report randomized-smoothing classifiers, locally or with a service."""


for panel, functions in {
    LOCAL: (local.train, local.certify, local.predict, evaluate, corrupt, plan, report, compare, verify),
    CHOICE: (presets.methods, presets.presets, architectures.architectures, published),
    REMOTE: (
        jobs.submit,
        jobs.status,
        jobs.watch,
        jobs.events,
        transfer.fetch,
        jobs.cancel,
        jobs.jobs,
        jobs.delete,
        usage.usage,
        transfer.upload,
        registration.add_dataset,
        registration.add_checkpoint,
        ask.ask,
    ),
    SERVER: (
        server.up,
        server.worker,
        server.migrate,
        settings.settings,
        maintenance.doctor,
        maintenance.backup,
        maintenance.restore,
    ),
}.items():
    for function in functions:
        app.command(rich_help_panel=panel)(function)
        COMMANDS[function.__name__.replace("_", "-")] = function
app.add_typer(compose.composed, name="compose", rich_help_panel=LOCAL)
app.add_typer(server.keys, name="key", rich_help_panel=SERVER)


def main() -> None:
    """The console script."""
    launch.protect()
    app()


if __name__ == "__main__":
    main()
