"""All restrictions at once, for a process that is about to open a file from outside."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from radii.rs_core.errors import RadiiError
from radii.worker.isolation import descriptors, identity, landlock, limits, readable, seccomp, system
from radii.worker.isolation.limits import Limits
from radii.worker.processes.parent_death import die_with_parent, ends_with_parent


@dataclass(frozen=True, kw_only=True)
class MissingRestriction:
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
        outputs: Files that it writes; they exist.
        uid: User and group that a process of root changes to.
        processes: Whether it may fork.
        threads: Whether it may start threads.
    """

    limits: Limits
    inputs: tuple[Path, ...] = ()
    code: tuple[Path, ...] = ()
    outputs: tuple[Path, ...] = ()
    uid: int = identity.NOBODY
    processes: bool = False
    threads: bool = False


READS = (
    "code in a file can read and change all files that its user can: the service's files, or where the service is root's, "
    "the files that are open to every user of the machine"
)
BEYOND = "a file can make the process take more than it may"
SIGNALS = "code in a file can signal other processes of this user"
CONSEQUENCES = {
    "Landlock": READS,
    "unprivileged user": "where Landlock is missing too, code in a file can read and write all files of root",
    "capabilities": "code in a file keeps capabilities of the user that runs the service",
    "no_new_privs": "code in a file can gain rights by programs that are setuid",
    "seccomp": "code in a file can start programs, open sockets and trace processes of this user",
    "network namespace": "only the filter of system calls and Landlock keep code in a file off the network",
    "dumpable": "other processes of this user can read the memory of this one",
}


class NotConfined(RadiiError):
    """A restriction that this system has could not be applied."""

    title = "Files from outside cannot be opened safely here."
    status = 503


def confine(wanted: Confinement) -> tuple[MissingRestriction, ...]:
    """Applies every restriction to this process permanently; returns those that the system lacks.

    It must have one thread, because the restrictions are those of a thread, and must not have read any byte from outside.

    Raises:
        NotConfined: The system has Landlock, but refuses the rules for these files.
        RuntimeError: The process has several threads.
    """
    steps = _Steps([_limit(name, reason) for name, reason in limits.apply(wanted.limits)])
    if not (wanted.processes or wanted.threads):
        steps.tried("limit on processes", limits.refuse_processes)
    if sys.platform != "linux":
        return (*steps.missing, *(_missing(name, "only Linux has it") for name in CONSEQUENCES))
    require_one_thread()
    parent = os.getppid() if ends_with_parent() else None
    steps.tried("network namespace", identity.leave_network)
    paths = readable.interpreter() | set(wanted.code) | set(wanted.inputs)
    rules = _rules(wanted, paths, steps)
    if rules is None and os.geteuid() == 0:
        descriptors.lend_modules()
    _give_up_rights(wanted, paths, rules, steps)
    steps.tried("no_new_privs", lambda: system.prctl(system.PR_SET_NO_NEW_PRIVS, 1))
    if rules is not None:
        with _landlock_applied():
            landlock.restrict(rules)
    steps.tried("dumpable", lambda: system.prctl(system.PR_SET_DUMPABLE, 0))
    if parent is not None:
        _end_with(parent)
    steps.tried("seccomp", lambda: seccomp.restrict(processes=wanted.processes, threads=wanted.threads))
    return tuple(steps.missing)


def confine_copy() -> None:
    """Installs the stricter filter of a forked copy, which may neither fork nor start threads.

    Raises:
        RuntimeError: The process has several threads.
    """
    if sys.platform != "linux":
        return
    require_one_thread()
    steps = _Steps([])  # what is missing here is missing in the process that was copied, which has reported it
    steps.tried("limit on processes", limits.refuse_processes)
    steps.tried("seccomp", seccomp.restrict)


def require_one_thread() -> None:
    """Raises :class:`RuntimeError` where this process has more threads than one."""
    if (count := system.count_threads()) != 1:
        raise RuntimeError(f"a process is confined while it has one thread, got {count}")


class _Steps:
    """Tries restrictions, and notes which of them fail."""

    def __init__(self, missing: list[MissingRestriction]) -> None:
        self.missing = missing

    def tried(self, name: str, step: Callable[[], object]) -> bool:
        try:
            step()
        except (OSError, AttributeError, OverflowError) as error:
            self.missing.append(_missing(name, str(error)))
            return False
        return True


def _rules(wanted: Confinement, paths: set[Path], steps: _Steps) -> int | None:
    """The Landlock rules, made while the present user can still reach every path; none where the system has no Landlock."""
    found: list[int] = []
    if not steps.tried("Landlock", lambda: found.append(landlock.abi())):
        return None
    (version,) = found
    for feature in landlock.lacking(version):
        consequence = SIGNALS if "signals" in feature else f"Landlock does not restrict {feature.partition(' (')[0]}"
        reason = f"the kernel has ABI {version}"
        steps.missing.append(MissingRestriction(restriction=feature, reason=reason, consequence=consequence))
    with _landlock_applied():
        return landlock.ruleset(version, paths, (*wanted.outputs, Path(os.devnull)))


@contextlib.contextmanager
def _landlock_applied() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        expected = "Landlock rules for the files of this process, as the kernel has Landlock"
        raise NotConfined(expected=expected, got=str(error)) from None


def _give_up_rights(wanted: Confinement, paths: set[Path], rules: int | None, steps: _Steps) -> None:
    """Another user, and no capabilities.

    The permissions of root's files may refuse them to that user: an interpreter in root's home, or files of the service
    that nobody else can open. Then the capability to read files is kept if Landlock rules limit it to these files. Without
    rules it would open every file of the machine, so the process does without it.
    """
    kept: tuple[int, ...] = ()
    other = os.geteuid() == 0 and steps.tried("unprivileged user", lambda: identity.become(wanted.uid, wanted.outputs))
    if other and rules is not None and not identity.can_reach(paths, wanted.outputs):
        kept = (identity.CAP_DAC_READ_SEARCH,)
    steps.tried("capabilities", lambda: identity.keep_capabilities(*kept))


def _end_with(parent: int) -> None:
    """Sets the parent-death signal again, which a change of the user clears; ends the process if its parent has already ended."""
    die_with_parent()
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _limit(name: str, reason: str) -> MissingRestriction:
    return MissingRestriction(restriction=f"limit on {name}", reason=reason, consequence=BEYOND)


def _missing(name: str, reason: str) -> MissingRestriction:
    return MissingRestriction(restriction=name, reason=reason, consequence=CONSEQUENCES.get(name, BEYOND))
