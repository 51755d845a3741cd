"""Files and folders that systems and tools leave in archives, which are no data. Torch-free.

They are skipped at every level of an archive: a hidden folder of a notebook server next to the class folders would
otherwise become a class and shift all labels. The skipped entries are listed in the dataset's record.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LEFT_BEHIND = frozenset(
    {
        "__macosx",
        "__pycache__",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "lost+found",
    }
)
"""Of macOS, Python, Windows, Synology and Linux, in lower case; besides these, everything that begins with a dot."""
MOST_NAMES = 5
LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class SkippedMembers:
    """Members of an archive that were skipped: how many, and the first of their names."""

    count: int
    names: tuple[str, ...]

    @classmethod
    def among(cls, names: Iterable[str]) -> "SkippedMembers | None":
        """What of the members with these names is clutter; None where nothing is."""
        found = sorted(name for name in names if is_clutter(name))
        first = tuple(ascii(name)[1:-1][:LONGEST_NAME] for name in found[:MOST_NAMES])
        return cls(count=len(found), names=first) if found else None

    def to_json(self) -> dict[str, Any]:
        """As it is kept with a dataset."""
        return {"count": self.count, "names": list(self.names)}

    @property
    def text(self) -> str:
        """One sentence."""
        more = f" and {self.count - len(self.names):,} more" if self.count > len(self.names) else ""
        return f"Skipped {self.count:,} hidden or system entries: {', '.join(self.names)}{more}."


def is_clutter(name: str) -> bool:
    """Whether a path in an archive is, or lies in, something hidden or left by a system; never one that leads outside."""
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]
    return ".." not in parts and any(part.startswith(".") or part.lower() in LEFT_BEHIND for part in parts)
