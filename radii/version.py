"""The version of radii that runs."""

from importlib.metadata import PackageNotFoundError, version

UNKNOWN = "unknown"


def installed_version() -> str:
    """The version in the metadata of the installed distribution; ``UNKNOWN`` for a tree on ``PYTHONPATH`` that is not installed."""
    try:
        return version("radii")
    except PackageNotFoundError:
        return UNKNOWN
