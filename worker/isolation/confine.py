"""All restrictions at once, for a process that is about to open a file from outside."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.isolation import identity, landlock, limits, readable, seccomp, system
from worker.isolation.limits import Limits
from worker.orphans import die_with_parent, ends_with_parent


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A restriction that could not be applied: its name, what the system said, and what follows from that."""

    restriction: str
    reason: str
    consequence: str


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """What a confined process may still do.

    Attributes:
        limits: Memory, processor time and file size.
        inputs: Files that it reads.
        code: Modules and packages that it imports in addition to those of this process.
        folders: Folders whose entries it may list, at any depth.
        outputs: Files that it writes; they exist.
        uid: User and group that a process of root changes to.
        processes: Whether it may copy itself.
        threads: Whether it may start threads.
    """

    limits: Limits
    inputs: tuple[Path, ...] = ()
    code: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()
    uid: int = identity.NOBODY
    processes: bool = False
    threads: bool = False


READS = "code in a file can read and change the files of this user, the service's included"
SIGNALS = "code in a file can signal other processes of this user"
CONSEQUENCES = {
    "Landlock": READS,
    "unprivileged user": "code in a file has the rights of root's files",
    "capabilities": "code in a file keeps capabilities of the user that runs the service",
    "no_new_privs": "code in a file can gain rights by programs that are setuid",
    "seccomp": "code in a file can start programs, open sockets and trace processes of this user",
    "network namespace": "only the filter of system calls and Landlock keep code in a file off the network",
    "dumpable": "other processes of this user can read the memory of this one",
}


def confine(wanted: Confinement) -> tuple[Missing, ...]:
    """Applies every restriction to this process permanently; returns those that the system lacks.

    It must have one thread, because the restrictions are those of a thread, and must not have read any byte from outside.

    Raises:
        RuntimeError: The process has several threads.
    """
    missing = [_limit(name, reason) for name, reason in limits.apply(wanted.limits)]
    if sys.platform != "linux":
        return (*missing, *(_missing(name, "only Linux has it") for name in CONSEQUENCES))
    require_one_thread()
    parent = os.getppid() if ends_with_parent() else None
    steps = _Steps(missing)
    steps.tried("network namespace", identity.leave_network)
    paths = readable.interpreter() | set(wanted.code) | set(wanted.inputs)
    rules = _rules(wanted, paths, steps)
    _give_up_rights(wanted, paths, steps)
    steps.tried("no_new_privs", lambda: system.prctl(system.PR_SET_NO_NEW_PRIVS, 1))
    if rules is not None:
        steps.tried("Landlock", lambda: landlock.restrict(rules))
    steps.tried("dumpable", lambda: system.prctl(system.PR_SET_DUMPABLE, 0))
    if parent is not None:
        _end_with(parent)
    steps.tried("seccomp", lambda: seccomp.restrict(processes=wanted.processes, threads=wanted.threads))
    return tuple(steps.missing)


def confine_copy() -> None:
    """The further filter of a copy of a confined process, which needs no copies and no threads itself.

    Raises:
        RuntimeError: The process has several threads.
    """
    if sys.platform != "linux":
        return
    require_one_thread()
    steps = _Steps([])
    steps.tried("seccomp", seccomp.restrict)  # where it is refused, the process that was copied has said so


def require_one_thread() -> None:
    """Raises :class:`RuntimeError` where this process has more threads than one."""
    if (count := system.count_threads()) != 1:
        raise RuntimeError(f"a process is confined while it has one thread, got {count}")


class _Steps:
    """Tries restrictions, and notes which of them fail."""

    def __init__(self, missing: list[Missing]) -> None:
        self.missing = missing

    def tried(self, name: str, step: Callable[[], object]) -> bool:
        try:
            step()
        except (OSError, AttributeError, OverflowError) as error:
            self.missing.append(_missing(name, str(error)))
            return False
        return True


def _rules(wanted: Confinement, paths: set[Path], steps: _Steps) -> int | None:
    """The Landlock rules, made while the present user can still reach every path."""
    made: list[int] = []

    def make() -> None:
        version = landlock.abi()
        made.append(landlock.ruleset(version, paths, wanted.folders, (*wanted.outputs, Path(os.devnull))))
        for feature in landlock.lacking(version):
            consequence = (
                SIGNALS if "signals" in feature else f"Landlock does not restrict {feature.partition(' (')[0]}"
            )
            steps.missing.append(
                Missing(restriction=feature, reason=f"the kernel has ABI {version}", consequence=consequence)
            )

    steps.tried("Landlock", make)
    return made[0] if made else None


def _give_up_rights(wanted: Confinement, paths: set[Path], steps: _Steps) -> None:
    """Another user, and no capabilities.

    What root's files say to that user may be too little for it: an interpreter in root's home, or files of the service that
    nobody else can open. Then the capability to read files is kept, and Landlock is what limits that to these files.
    """
    kept: tuple[int, ...] = ()
    if os.geteuid() == 0 and steps.tried("unprivileged user", lambda: identity.become(wanted.uid, wanted.outputs)):
        kept = () if identity.can_reach(paths, wanted.outputs) else (identity.CAP_DAC_READ_SEARCH,)
    steps.tried("capabilities", lambda: identity.keep_capabilities(*kept))


def _end_with(parent: int) -> None:
    """Sets the parent-death signal again, which a change of the user clears; ends the process if its parent has already ended."""
    die_with_parent()
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _limit(name: str, reason: str) -> Missing:
    return Missing(
        restriction=f"limit on {name}", reason=reason, consequence="a file can make the process take more than it may"
    )


def _missing(name: str, reason: str) -> Missing:
    return Missing(restriction=name, reason=reason, consequence=CONSEQUENCES[name])
