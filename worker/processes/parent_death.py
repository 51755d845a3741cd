"""What a process that works for another one asks of the system: not to outlive it."""

import contextlib
import ctypes
import signal

PR_SET_PDEATHSIG, PR_GET_PDEATHSIG = 1, 2


def die_with_parent() -> None:
    """Has the system kill this process when the thread that started it has ended, however deep it is in a call that
    listens to nobody. Only Linux can; elsewhere the end of the input has to do."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def ends_with_parent() -> bool:
    """Whether :func:`die_with_parent` holds for this process."""
    number = ctypes.c_int()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0)
    return number.value != 0
