"""The command that lists what can be set, ``settings``."""

import json
from typing import TYPE_CHECKING, Any

from radii.service.cli.presets import AsJson
from radii.service.console import say, table

if TYPE_CHECKING:
    from radii.worker.settings import Settings

URLS = ("database_url", "broker_url")


def settings(as_json: AsJson = False) -> None:
    """List the variables that set how radii runs (RADII_...), with their values here, their defaults and units.

    Times are in seconds, sizes in bytes. Service and workers read them when they start; give all the same ones.
    """
    from radii.worker.settings import Settings

    found = Settings()
    rows = [_row(found, name) for name in Settings.model_fields]
    if as_json:
        say(json.dumps(rows, indent=2))
        return
    listed = [[row["variable"], _shown(row["value"]), _shown(row["default"]), row["description"]] for row in rows]
    say(table(["variable", "value", "default", "what it is"], listed))


def _row(found: "Settings", name: str) -> dict[str, Any]:
    """One variable; passwords in URLs are left out."""
    value = found.model_dump(mode="json")[name]
    return {
        "variable": f"RADII_{name.upper()}",
        "value": _without_password(value) if name in URLS and value else value,
        "default": type(found).model_construct().model_dump(mode="json")[name],
        "description": type(found).model_fields[name].description or "",
    }


def _without_password(url: str) -> str:
    from sqlalchemy import make_url

    return make_url(url).render_as_string(hide_password=True)


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)
