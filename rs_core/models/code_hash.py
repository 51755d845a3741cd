"""Hashes the code of an architecture that the operator registered, so that a changed network is noticed.

The hash is over the row and the file of its function; what that file imports is not part of it. The code is not run. Torch-free.
"""

import hashlib
import json
import sys
from dataclasses import asdict
from importlib.machinery import PathFinder
from pathlib import Path

from radii.rs_core.errors import UnknownArchitecture
from radii.rs_core.models.registry import architecture

WORDS_OF_A_ROW = ("description", "reference", "folder", "features", "role", "unread")
"""What of an architecture's row says nothing of the network."""


def network_of(name: str | None) -> str | None:
    """What a registered architecture stands for, as a word: its row, and the file of its function where it is found.

    None for every other architecture, whose name says it all.
    """
    try:
        row = architecture(name or "")
    except UnknownArchitecture:
        return None
    if row.source != "registered":
        return None
    said = {field: value for field, value in asdict(row).items() if field not in WORDS_OF_A_ROW}
    code = _code_of(row.builder.split(":")[0], row.folder)
    return hashlib.sha256(json.dumps([said, code], sort_keys=True).encode()).hexdigest()


def _code_of(module: str, folder: str) -> str | None:
    """The SHA-256 of a module's file, found as an import would find it from that folder; nothing of it is imported."""
    places, file = [*sys.path, folder], None
    for part in module.split("."):
        found = PathFinder.find_spec(part, places) if places else None
        if found is None:
            return None
        places = list(found.submodule_search_locations or ())
        file = found.origin if found.has_location else None
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file is not None else None
    except OSError:
        return None
