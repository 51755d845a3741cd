"""One thing that ``radii doctor`` has looked at."""

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "worth knowing", "wrong"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check has found, and what to do."""

    what: str
    state: State
    found: str
    help: str = ""
