"""What an error of a library or of a user's network says, in one line that a person can use. Torch-free."""

import re
from collections.abc import Collection
from traceback import walk_tb

from radii.rs_core.errors import NetworkFailed, RadiiError

BOILERPLATE = (
    re.compile(r"Please file an issue[^\n]*"),
    re.compile(r"(?:please )?report a bug to PyTorch[^\n]*"),
    re.compile(r"Exception raised from [^\n]*"),
    re.compile(r"(?:For debugging consider|CUDA kernel errors might|Compile with `TORCH_USE)[^\n]*"),
)
"""What torch adds to its messages, for its own developers."""
INTERNAL = re.compile(r'INTERNAL ASSERT FAILED at "[^"\n]{0,300}":\d{1,6},? ?')
LONGEST_CAUSE = 300


def cause_of(error: BaseException) -> str:
    """The cause of an error in one line: its type and the first line of its text, without torch's remarks to developers.

    An error that a loader process passed on is named by its original, whose line is the last.
    """
    text = str(error)[:20_000].strip()
    if "Original Traceback (most recent call last)" in text:
        return text.splitlines()[-1].strip()[:LONGEST_CAUSE].rstrip(". ")
    text = INTERNAL.sub("an internal check failed ", text)
    for remark in BOILERPLATE:
        text = remark.sub("", text)
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line}"[:LONGEST_CAUSE].rstrip(" .,:")


def first_line(error: BaseException) -> str:
    """What an exception of a library says, on one line and without its advice on the lines below; its type where it says
    nothing."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def comes_from(error: BaseException, modules: Collection[object]) -> bool:
    """Whether an error was raised in a forward pass of one of ``modules`` (of torch), or in a backward pass."""
    known = {id(module) for module in modules}
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        file = frame.f_code.co_filename.replace("\\", "/")
        if file.endswith("torch/nn/modules/module.py") and id(frame.f_locals.get("self")) in known:
            return True
        if "torch/autograd/" in file:
            return True
        traceback = traceback.tb_next
    return False


def raise_as_network_failure(
    error: Exception, shape: tuple[int, ...] | None = None, *, differentiated: bool = False
) -> None:
    """Raises :class:`NetworkFailed` for an error of the network, which a user can mend; does nothing for another kind of
    error, or one of the device.

    Args:
        error: What a forward or backward pass raised; running out of memory is handled before.
        shape: Of the batch that the network was given, (B, C, H, W).
        differentiated: Whether there were backward passes, too.
    """
    device = "CUDA" in str(error) or "cuDNN" in str(error)
    if isinstance(error, RadiiError) or device:
        return
    if isinstance(error, RuntimeError | TypeError | IndexError | ValueError) or _of_module(error):
        given = "" if shape is None else f" of shape {tuple(shape)}"
        also = " and can be differentiated with respect to them" if differentiated else ""
        expected = f"a network that takes float32 images (B, C, H, W){given}{also}"
        raise NetworkFailed(expected=expected, got=cause_of(error)) from error


def _of_module(error: Exception) -> bool:
    """Whether the forward pass of a module raised it: torch calls each of them from this function. A failed assertion of the
    network is one of its faults; one of ours elsewhere is not."""
    frames = (frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__))
    return not isinstance(error, OSError) and "_call_impl" in frames
