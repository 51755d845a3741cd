"""What a process gives up before it opens strangers' files: memory, processor time, files and the network, for good."""

import ctypes
import resource

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
MAX_OPEN_FILES = 256
MAX_OUTPUT = 64 * 2**30


def wall_in(memory: int, seconds: float, output: int = MAX_OUTPUT) -> None:
    """Limits first, then the network; while there is one thread."""
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, int(seconds) + 1),
        (resource.RLIMIT_FSIZE, output),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    # Where user namespaces are not allowed this fails, and the other walls stand alone.
    ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER | CLONE_NEWNET)
