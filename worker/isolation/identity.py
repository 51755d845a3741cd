"""User, capabilities and network namespace of a confined process."""

import contextlib
import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from radii.worker.isolation import system

CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION = 0x20080522
NOBODY = 65534
"""User and group number of a process that was started as root."""


def leave_network() -> None:
    """Moves this process into a network without interfaces; raises :class:`OSError` where the system refuses.

    A user without rights needs a user namespace for that, and root does not: there, root's number would keep the rights of
    root's files.
    """
    root = os.geteuid() == 0
    system.unshare(CLONE_NEWNET | CLONE_NEWIPC | (0 if root else CLONE_NEWUSER))


def become(uid: int, files: Iterable[Path] = ()) -> None:
    """Changes the user and group of a root process permanently, and keeps its capabilities for :func:`keep_capabilities`.

    Args:
        uid: Number of the user and of its group.
        files: Regular files of root that are that user's from then on. Where the change is refused, they stay root's.
    """
    own = [path for path in files if stat.S_ISREG(path.lstat().st_mode)]
    try:
        _give(own, uid)
        system.prctl(system.PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    except OSError:
        with contextlib.suppress(OSError):
            _give(own, os.geteuid())
        raise


def _give(files: Iterable[Path], uid: int) -> None:
    for path in files:
        os.chown(path, uid, uid, follow_symlinks=False)


def can_reach(readable: Iterable[Path], writable: Iterable[Path]) -> bool:
    """Whether the permissions of files let this user read and write all of these, those that do not exist aside."""
    wanted = [(path, os.R_OK) for path in readable] + [(path, os.R_OK | os.W_OK) for path in writable]
    # os.access also says no where a folder on the way is closed, so the folder above tells what does not exist.
    return all(os.access(path, mode) or _is_missing(path) for path, mode in wanted)


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def keep_capabilities(*kept: int) -> None:
    """Gives up every capability but these."""
    bits = sum(1 << number for number in kept)
    header = _Header(CAPABILITY_VERSION, 0)
    data = (_Capabilities * 2)(_Capabilities(bits, bits, 0), _Capabilities(0, 0, 0))
    system.checked(system.libc().capset(ctypes.byref(header), ctypes.byref(data)))


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))
