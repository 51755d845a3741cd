"""The settings of this process as the environment of another one, however they were given here."""

import os

from radii.worker.settings import SECRETS, Settings


def variables(settings: Settings) -> dict[str, str]:
    """The settings as the variables that they are read from."""
    values = settings.model_dump(mode="json")
    return {f"RADII_{name.upper()}": str(value) for name, value in values.items() if value is not None}


def environment(settings: Settings) -> dict[str, str]:
    """This process's environment with these settings. Files of secrets are not named: what they hold is among the settings."""
    files = {f"RADII_{name.upper()}_FILE" for name in SECRETS}
    return {name: value for name, value in os.environ.items() if name not in files} | variables(settings)
