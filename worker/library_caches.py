"""Where libraries keep what they have computed once: in the data folder. Without a home directory, as in a container, they would
compute it again at each start, and say so."""

import os

from radii.worker.processes.launch import CACHES
from radii.worker.settings import Settings

FOLDERS = dict(zip(CACHES, ("matplotlib", "numba"), strict=True))
"""Variables that the libraries read when they are imported, and the folders below ``cache``."""


def keep_in(settings: Settings) -> None:
    """Sets the variables of this process and of those that it starts; what the operator has set stays."""
    for variable, name in FOLDERS.items():
        folder = settings.data.absolute() / "cache" / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue  # the libraries find another place; what else is wrong with the data folder is told elsewhere
        os.environ.setdefault(variable, str(folder))
