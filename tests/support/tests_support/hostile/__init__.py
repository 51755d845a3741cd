"""Hostile files: what a person who means harm would upload, made anew by each run.

Each module makes the files of one format; :func:`every_case` has all of them. A file that runs code leaves a trace at its
:class:`Canary`.
"""

from tests_support.hostile import (
    archives,
    arrays,
    bodies,
    metadata,
    pickles,
    pictures,
    plain,
    tables,
    tensorfiles,
    torchfiles,
)
from tests_support.hostile.case import Canary, Case

__all__ = ["Canary", "Case", "every_case"]

MODULES = (pickles, torchfiles, tensorfiles, metadata, archives, arrays, pictures, plain, tables, bodies)


def every_case() -> dict[str, Case]:
    """All cases by their names, which are unique."""
    cases = [case for module in MODULES for case in module.cases()]
    named = {case.name: case for case in cases}
    assert len(named) == len(cases), "two hostile files have one name"
    return named
