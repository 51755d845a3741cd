"""A seccomp filter that lets a process use a list of system calls and refuses every other one.

The list is what interpreter, NumPy, Pillow and torch need to compute and to use open files. It is a list of what is
allowed because kernels grow: calls that come later are refused without a new version of this file. A refused call fails
with ``EPERM``, and one that is newer than the lists with ``ENOSYS``, as on an older kernel: libraries then fall back, or say
what they could not do. The filter looks at the architecture first and kills a process that calls by the numbers of another
one (32-bit calls, x32), because those would mean other calls.
"""

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from radii.worker.isolation import system
from radii.worker.isolation.syscall_numbers import AARCH64, X86_64

MODE_FILTER = 2
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Operations of the packet filter: load a word, compare it, answer."""
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Offsets of what the filter sees (``struct seccomp_data``); arguments take 8 bytes, the lower half first."""
ALLOW, KILL, ERROR = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = ERROR | 1, ERROR | 38
X32_BIT = 0x40000000
FIRST_COMMON = 424
"""From this number on, calls have the same number on every architecture."""
CLONE_THREAD = 0x00010000

IOCTLS = (0x5401, 0x5421, 0x5450, 0x5451)
"""Is it a terminal; blocking or not; inherited or not."""
FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1033, 1034)
"""Copies of descriptors, their flags, locks and seals; not who gets signals (``F_SETOWN``)."""
PRCTLS = (1, 2, 15, 16, 0x53564D41)
"""End with the parent, and whether it does; thread names; names of memory areas."""
FURTHER_FILTER = system.PR_SET_SECCOMP

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True)
class ArchitectureNumbers:
    """An architecture, as the kernel numbers it for auditing."""

    audit: int
    numbers: Mapping[str, int]


TABLES = {
    "x86_64": ArchitectureNumbers(0xC000003E, X86_64),
    "amd64": ArchitectureNumbers(0xC000003E, X86_64),
    "aarch64": ArchitectureNumbers(0xC00000B7, AARCH64),
    "arm64": ArchitectureNumbers(0xC00000B7, AARCH64),
}


def restrict(*, processes: bool = False, threads: bool = False) -> None:
    """Installs the filter in this process, which has one thread, permanently.

    Args:
        processes: Whether it may make copies of itself, wait for them and install further filters.
        threads: Whether it may start threads.

    Raises:
        OSError: The kernel has no such filters, or the list for this architecture is not known.
    """
    instructions = list(program(_table(), processes=processes, threads=threads, pid=os.getpid()))
    filters = (_Filter * len(instructions))(*(_Filter(*each) for each in instructions))
    system.prctl(system.PR_SET_SECCOMP, MODE_FILTER, ctypes.byref(_Program(len(instructions), filters)))


def kill(pid: int) -> None:
    """Kills a process that this one has forked and not reaped. The filter refuses ``kill`` and allows ``tgkill``."""
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:
        system.syscall(_table().numbers["tgkill"], pid, pid, int(signal.SIGKILL))


def program(table: ArchitectureNumbers, *, processes: bool, threads: bool, pid: int) -> Iterator[Instruction]:
    """The filter's instructions: (operation, jump if true, jump if false, operand)."""
    numbers = dict(table.numbers)
    yield from ((LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, table.audit), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER))
    if table.numbers is X86_64:
        yield from ((AT_LEAST, 0, 1, X32_BIT), (RETURN, 0, 0, KILL))
    clone, own = numbers.pop("clone"), (pid,)
    yield from _answer(numbers.pop("clone3"), ENOSYS)  # its flags lie in memory: callers fall back to clone
    if processes:
        yield from _answer(clone, ALLOW)
    elif threads:
        yield from _with_bit(clone, CLONE_THREAD)
    if not processes:
        numbers.pop("seccomp")
        numbers.pop("wait4")
    yield from _with_first(numbers.pop("prlimit64"), (0, pid))
    # A copy that is made later has another number, and a filter of its own that knows it.
    yield from _answer(numbers.pop("tgkill"), ALLOW) if processes else _with_first(numbers.pop("tgkill"), own)
    yield from _with_first(numbers.pop("prctl"), (*PRCTLS, FURTHER_FILTER) if processes else PRCTLS)
    yield from _with_second(numbers.pop("ioctl"), IOCTLS)
    yield from _with_second(numbers.pop("fcntl"), FCNTLS)
    for number in numbers.values():
        yield from _answer(number, ALLOW)
    yield from ((AT_LEAST, 0, 1, FIRST_COMMON), (RETURN, 0, 0, ENOSYS), (RETURN, 0, 0, EPERM))


def _answer(number: int, answer: int) -> Iterator[Instruction]:
    yield from ((EQUAL, 0, 1, number), (RETURN, 0, 0, answer))


def _with_bit(number: int, bit: int) -> Iterator[Instruction]:
    """Allows the call if its first argument has the bit."""
    yield from ((EQUAL, 0, 4, number), (LOAD, 0, 0, ARGUMENTS), (ANY_BIT, 0, 1, bit), (RETURN, 0, 0, ALLOW))
    yield (RETURN, 0, 0, EPERM)


def _with_first(number: int, values: tuple[int, ...]) -> Iterator[Instruction]:
    yield from _with_value(number, ARGUMENTS, values)


def _with_second(number: int, values: tuple[int, ...]) -> Iterator[Instruction]:
    yield from _with_value(number, ARGUMENTS + 8, values)


def _with_value(number: int, offset: int, values: tuple[int, ...]) -> Iterator[Instruction]:
    """Allows the call if the argument, of which the kernel reads 32 bits, has one of the values."""
    yield from ((EQUAL, 0, 2 * len(values) + 2, number), (LOAD, 0, 0, offset))
    for value in values:
        yield from ((EQUAL, 0, 1, value & 0xFFFFFFFF), (RETURN, 0, 0, ALLOW))
    yield (RETURN, 0, 0, EPERM)


def _table() -> ArchitectureNumbers:
    found = TABLES.get(platform.machine().lower())
    if found is None or sys.maxsize < 2**32:
        raise OSError(38, f"radii has no list of system calls for {platform.machine()}")
    return found


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filters", ctypes.POINTER(_Filter)))
