"""Telling that memory has run out, whoever says so."""

import torch


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory is full: Python's own, a GPU's, or torch's plain RuntimeError on the CPU."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
