"""Which extra of the distribution brings a package that is not installed."""

from importlib.util import find_spec
from pathlib import Path

_PACKAGES = {
    "reports": ("matplotlib", "numpy", "scipy", "statsmodels"),
    "torch": ("PIL", "mpmath", "safetensors", "torch", "torchvision"),
    "server": (
        "alembic",
        "celery",
        "fastapi",
        "jinja2",
        "prometheus_client",
        "psycopg",
        "redis",
        "sqlalchemy",
        "uvicorn",
    ),
    "corruptions": ("cv2", "imagecorruptions", "numba", "skimage"),
}
_SECOND_STEPS = {"corruptions": "pip install --no-deps imagecorruptions-imaug"}
"""What an extra cannot install by itself; pyproject.toml says why."""


def extra_of(module: str | None) -> str | None:
    """The extra that installs a module; None if the module belongs to no extra."""
    package = (module or "").partition(".")[0]
    return next((extra for extra, packages in _PACKAGES.items() if package in packages), None)


def is_installed(extra: str) -> bool:
    """Whether every package of an extra can be imported; none of them is."""
    try:
        return all(find_spec(package) is not None for package in _PACKAGES[extra])
    except ModuleNotFoundError:
        return False


def how_to_install(extra: str) -> str:
    """The command that adds an extra to this installation.

    Where radii is installed, pip reads the extra's packages from its metadata and looks for radii on no index.
    """
    from radii.version import UNKNOWN, installed_version

    name = Path(__file__).parents[1] if installed_version() == UNKNOWN else "radii"
    return " && ".join([f"pip install '{name}[{extra}]'", *filter(None, [_SECOND_STEPS.get(extra)])])
