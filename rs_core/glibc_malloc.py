"""What glibc does with memory that is freed; elsewhere nothing is changed."""

import ctypes

M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3
"""glibc's numbers for the options of ``mallopt``."""
LARGE = 2**20


def give_back(*, arenas: int | None = None) -> None:
    """Has blocks of a megabyte and more go back to the system when they are freed: by default glibc keeps them, in pieces.

    Args:
        arenas: Most arenas of the process. Without a limit glibc makes some for each core, which all keep what they had.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return
    libc.mallopt(M_MMAP_THRESHOLD, LARGE)
    if arenas is not None:
        libc.mallopt(M_ARENA_MAX, arenas)
