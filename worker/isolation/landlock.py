"""Landlock: a process permanently gives up files, TCP ports, abstract sockets and signals that no rule allows.

By raw system calls, since no C library wraps them; the constants are those of ``linux/landlock.h``. Which rights a kernel
knows depends on its ABI version: those that it does not know are left out and named by :func:`lacking`.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from radii.worker.isolation import system

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls, the same on every architecture."""
VERSION_FLAG, PATH_BENEATH = 1, 1

WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
FIRST_RIGHTS = (1 << 13) - 1
"""Of ABI 1: execute, write, read, list, remove and make."""
LATER_RIGHTS = {2: 1 << 13, 3: TRUNCATE, 5: 1 << 15}
"""By the ABI that brought them: move files between folders, truncate, ioctl of devices."""
TCP, TCP_ABI = 0b11, 4
SCOPES, SCOPES_ABI = 0b11, 6

FEATURES = {
    2: "moving files between folders (Landlock ABI 2)",
    3: "truncating files (Landlock ABI 3)",
    4: "TCP (Landlock ABI 4)",
    5: "device commands (Landlock ABI 5)",
    6: "abstract sockets and signals (Landlock ABI 6)",
}


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def abi() -> int:
    """The version of Landlock that the kernel has; raises :class:`OSError` where there is none, or it is switched off."""
    return system.syscall(CREATE_RULESET, None, 0, VERSION_FLAG)


def lacking(version: int) -> list[str]:
    """What a kernel of that ABI cannot restrict by Landlock."""
    return [feature for number, feature in FEATURES.items() if number > version]


def ruleset(version: int, readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """A rule set as a descriptor, for :func:`restrict`.

    Args:
        version: The ABI, see :func:`abi`.
        readable: Files, and folders with all that is below them. Paths that do not exist or are closed to this process
            are skipped, so that the process cannot read them.
        writable: Files that can be read, written and truncated.

    Raises:
        OSError: The kernel refuses a rule, or a writable file cannot be opened.
    """
    rights = _rights(version)
    attributes = _RulesetAttributes(rights, TCP if version >= TCP_ABI else 0, SCOPES if version >= SCOPES_ABI else 0)
    size = 8 if version < TCP_ABI else 16 if version < SCOPES_ABI else 24
    rules = system.syscall(CREATE_RULESET, ctypes.byref(attributes), size, 0)
    for path in readable:
        try:
            descriptor = _opened(path)
        except OSError:
            continue
        _allow(rules, descriptor, READ_FILE | READ_DIR)
    for path in writable:
        _allow(rules, _opened(path), (READ_FILE | WRITE_FILE | TRUNCATE) & rights)
    return rules


def restrict(rules: int) -> None:
    """Restricts this process, and what it starts, to the rule set. It needs ``no_new_privs`` first."""
    try:
        system.syscall(RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _rights(version: int) -> int:
    return FIRST_RIGHTS | sum(right for number, right in LATER_RIGHTS.items() if number <= version)


def _opened(path: Path) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _allow(rules: int, descriptor: int, rights: int) -> None:
    """Adds a rule for what the descriptor refers to, and closes the descriptor."""
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= ~READ_DIR
        rule = _PathBeneath(rights, descriptor)
        system.syscall(ADD_RULE, rules, PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
