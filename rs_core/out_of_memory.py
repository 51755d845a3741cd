"""Distinguishes running out of memory, whichever library reports it, from failures of a user's network."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from radii.rs_core.exception_text import raise_as_network_failure


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory is full: Python's own, a GPU's, or torch's plain RuntimeError on the CPU."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


@contextmanager
def network_failures(shape: tuple[int, ...] | None = None) -> Iterator[None]:
    """Forward and backward passes of a user's network: what it raises becomes :class:`NetworkFailed`; running out of memory, and
    what is no fault of the network, stays as it is."""
    try:
        yield
    except Exception as error:
        if not ran_out(error):
            raise_as_network_failure(error, shape)
        raise
