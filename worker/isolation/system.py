"""System calls that Python has no functions for, with their errors as :class:`OSError`."""

import ctypes
import os
from typing import Any

PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 8, 22, 38


def libc() -> Any:
    """The C library, which keeps ``errno``."""
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    """``result``; raises the :class:`OSError` of ``errno`` where it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def syscall(number: int, *arguments: Any) -> int:
    """The system call; integers are passed with their full width."""
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return checked(libc().syscall(ctypes.c_long(number), *wide))


def prctl(option: int, *arguments: Any) -> None:
    """``prctl``, the missing arguments 0."""
    wide = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]
    wide += [ctypes.c_ulong(0)] * (4 - len(wide))
    checked(libc().prctl(option, *wide))


def unshare(flags: int) -> None:
    """Moves this process into new namespaces."""
    checked(libc().unshare(flags))


def count_threads() -> int:
    """Threads of this process, each of which is a folder in ``/proc/self/task``. They are counted by its links, because a
    process that is confined already cannot list it."""
    return os.stat("/proc/self/task").st_nlink - 2
