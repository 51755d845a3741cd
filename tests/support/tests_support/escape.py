"""What code that runs inside a confined process would try: each attempt either reaches something or is refused.

The functions need nothing but the standard library, which is imported here, before a process is confined.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import resource
import signal
import socket
import subprocess
from collections.abc import Callable
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS)
X86 = platform.machine() == "x86_64"
Target = dict[str, Any]


class Refused(Exception):
    """The system did not let it happen."""


def attempts(target: Target) -> dict[str, str]:
    """Tries everything; name -> "reached" or what refused it."""
    return {name: attempt(function, target) for name, function in ATTEMPTS.items()}


def attempt(function: Callable[[Target], object], target: Target) -> str:
    """One attempt, in words."""
    try:
        function(target)
    except (OSError, MemoryError, Refused, RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "reached"


def descriptors() -> dict[int, str]:
    """What each open descriptor leads to."""
    found = {}
    for number in range(256):
        try:
            os.fstat(number)
        except OSError:
            continue
        found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found


def _call(result: int) -> None:
    """A call whose arguments may be nonsense: it is refused, or has got as far as its arguments."""
    if result < 0 and ctypes.get_errno() in REFUSALS:
        raise Refused(os.strerror(ctypes.get_errno()))


def _syscall(on_x86: int, on_arm: int, *arguments: int) -> Callable[[Target], None]:
    def run(_: Target) -> None:
        number = on_x86 if X86 else on_arm
        _call(LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(each) for each in arguments)))

    return run


def _connect(family: int, address: Callable[[Target], Any]) -> Callable[[Target], None]:
    def run(target: Target) -> None:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(address(target))

    return run


def _listen(_: Target) -> None:
    with socket.create_server(("127.0.0.1", 0)):
        pass


def _send_packet(target: Target) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.sendto(b"x", ("127.0.0.1", target["port"]))


def _read(name: str) -> Callable[[Target], None]:
    def run(target: Target) -> None:
        with open(name.format(**target), "rb") as file:
            file.read(1)

    return run


def _open_to_write(name: str) -> Callable[[Target], None]:
    def run(target: Target) -> None:
        os.close(os.open(name.format(**target), os.O_WRONLY))

    return run


def _create(name: str) -> Callable[[Target], None]:
    def run(target: Target) -> None:
        path = f"{name.format(**target)}/made-by-a-hostile-file-{os.getpid()}"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.unlink(path)

    return run


def _list(name: str) -> Callable[[Target], object]:
    return lambda target: os.listdir(name.format(**target))


def _process_memory(target: Target) -> None:
    local, remote = ctypes.create_string_buffer(8), ctypes.c_void_p(0x400000)
    pairs = [(ctypes.c_void_p * 2)(ctypes.addressof(local), 8), (ctypes.c_void_p * 2)(remote.value, 8)]
    _call(LIBC.process_vm_readv(target["pid"], pairs[0], 1, pairs[1], 1, 0))


def _fork(_: Target) -> None:
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _process_in_a_namespace(_: Target) -> None:
    flags = 0x10000000 | signal.SIGCHLD
    pid = LIBC.syscall(ctypes.c_long(56 if X86 else 220), *(ctypes.c_long(each) for each in (flags, 0, 0, 0, 0)))
    if pid == 0:
        os._exit(0)
    _call(pid)


def _shell(_: Target) -> None:
    if os.system("true") != 0:
        raise Refused("the shell did not run")


def _execute_from_memory(_: Target) -> None:
    descriptor = os.memfd_create("program")
    try:
        os.write(descriptor, b"no program")
        os.execve(descriptor, ["x"], {})
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    finally:
        os.close(descriptor)


def _memory_as_a_file(_: Target) -> None:
    descriptor = os.memfd_create("memory")
    try:
        os.write(descriptor, b"x")
    finally:
        os.close(descriptor)


def _reserve(target: Target) -> None:
    """Room beyond the end of a file, which no limit on sizes covers."""
    descriptor = os.open(target["output"], os.O_WRONLY)
    try:
        _call(LIBC.fallocate(descriptor, 1, ctypes.c_long(2**20), ctypes.c_long(2**20)))
    finally:
        os.close(descriptor)


def _execute(_: Target) -> None:
    try:
        os.execv("/nonexistent", ["x"])
    except FileNotFoundError:
        return


def _owner_of_signals(target: Target) -> None:
    with open(os.devnull, "rb") as file:
        fcntl.fcntl(file, fcntl.F_SETOWN, target["pid"])


def _terminal_input(_: Target) -> None:
    with open(os.devnull, "rb") as file:
        _call(LIBC.ioctl(file.fileno(), ctypes.c_ulong(0x5412), ctypes.c_char_p(b"x")))


ATTEMPTS: dict[str, Callable[[Target], object]] = {
    "connect by TCP": _connect(socket.AF_INET, lambda target: ("127.0.0.1", target["port"])),
    "connect to a socket file": _connect(socket.AF_UNIX, lambda target: target["socket"]),
    "connect to an abstract socket": _connect(socket.AF_UNIX, lambda target: "\0" + target["abstract"]),
    "listen": _listen,
    "send a packet": _send_packet,
    "make a pair of sockets": lambda _: [each.close() for each in socket.socketpair()],
    "read the environment of a process": _read("/proc/{pid}/environ"),
    "read the command line of a process": _read("/proc/{pid}/cmdline"),
    "open the memory of a process": lambda target: os.close(os.open(f"/proc/{target['pid']}/mem", os.O_RDWR)),
    "list processes": _list("/proc"),
    "list descriptors of a process": _list("/proc/{pid}/fd"),
    "trace a process": lambda target: _call(LIBC.ptrace(0x4206, target["pid"], None, None)),
    "read memory of a process": _process_memory,
    "signal a process": lambda target: os.kill(target["pid"], signal.SIGCONT),
    "signal a thread": lambda target: _call(
        LIBC.syscall(ctypes.c_long(234 if X86 else 131), target["pid"], target["pid"], int(signal.SIGCONT))
    ),
    "signal all processes of a group": lambda target: os.killpg(os.getpgid(target["pid"]), signal.SIGCONT),
    "hold a process": lambda target: os.close(os.pidfd_open(target["pid"])),
    "get signals for a process": _owner_of_signals,
    "limit a process": lambda target: resource.prlimit(
        target["pid"], resource.RLIMIT_CORE, resource.prlimit(target["pid"], resource.RLIMIT_CORE)
    ),
    "slow down a process": lambda target: os.setpriority(os.PRIO_PROCESS, target["pid"], 1),
    "bind a process to a processor": lambda target: os.sched_setaffinity(
        target["pid"], os.sched_getaffinity(target["pid"])
    ),
    "list the data folder": _list("{data}"),
    "list blobs": _list("{data}/blobs/ab"),
    "read a blob": _read("{data}/blobs/ab/other"),
    "write a blob": _open_to_write("{data}/blobs/ab/other"),
    "read the database": _read("{data}/radii.db"),
    "write the database": _open_to_write("{data}/radii.db"),
    "create a file in the data folder": _create("{data}"),
    "create a file beside the output": _create("{outputs}"),
    "make a folder": lambda target: [os.mkdir(f"{target['outputs']}/f"), os.rmdir(f"{target['outputs']}/f")],
    "link a blob": lambda target: os.link(f"{target['data']}/blobs/ab/other", f"{target['outputs']}/linked"),
    "make a symbolic link": lambda target: os.symlink("/etc/passwd", f"{target['outputs']}/symbolic"),
    "make a pipe file": lambda target: os.mkfifo(f"{target['outputs']}/fifo"),
    "reserve room on the disk": _reserve,
    "rename the output": lambda target: os.rename(target["output"], f"{target['output']}-moved"),
    "delete the output": lambda target: os.unlink(target["doomed"]),
    "truncate the input": lambda target: os.truncate(target["input"], 0),
    "write the input": _open_to_write("{input}"),
    "change the input's permissions": lambda target: os.chmod(target["input"], 0o777),
    "change the output's permissions": lambda target: os.chmod(target["spare"], 0o777),
    "change the input's times": lambda target: os.utime(target["input"]),
    "mark the input": lambda target: os.setxattr(target["input"], "user.x", b"1"),
    "read users": _read("/etc/passwd"),
    "read the machine's name": _read("/etc/hostname"),
    "list the home folder": _list("{home}"),
    "read a file of the home folder": _read("{home}/secret"),
    "write to the folder of temporary files": _create("/tmp"),
    "write to shared memory": _create("/dev/shm"),
    "read through the root of this process": _read("/proc/self/root{home}/secret"),
    "read through the root of the first process": _read("/proc/1/root{home}/secret"),
    "read through a process's folder": _list("/proc/{pid}/cwd"),
    "copy itself": _fork,
    "run a shell": _shell,
    "run a program": lambda _: subprocess.run(["/bin/true"], check=True),
    "become another program": _execute,
    "run a program from memory": _execute_from_memory,
    "take more memory than allowed": lambda target: mmap.mmap(
        -1, target["memory"] + 2**30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000
    ).close(),
    "take memory as a file": _memory_as_a_file,
    "raise a limit": lambda target: resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2),
    "make a user namespace": lambda _: _call(LIBC.unshare(0x10000000)),
    "make a mount namespace": lambda _: _call(LIBC.unshare(0x00020000)),
    "make a process in a user namespace": _process_in_a_namespace,
    "change the root folder": lambda target: os.chroot(target["home"]),
    "change the user": lambda _: os.setuid(0),
    "set up io_uring": _syscall(425, 425, 1, 0),
    "load a BPF program": _syscall(321, 280, 0, 0, 0),
    "measure by perf": _syscall(298, 241, 0, 0, -1, -1, 0),
    "handle page faults": _syscall(323, 282, 0),
    "use a key": _syscall(250, 219, 0, -3, 0),
    "open by handle": _syscall(304, 265, -100, 0, 0),
    "mount": _syscall(165, 40, 0, 0, 0, 0, 0),
    "load a module": _syscall(175, 105, 0, 0, 0),
    "install a further filter": lambda _: _call(LIBC.prctl(22, 2, None, 0, 0)),
    "be traced again": lambda _: _call(LIBC.prctl(4, 1, 0, 0, 0)),
    "type into the terminal": _terminal_input,
}
"""Each leaves nothing behind where it is refused."""
