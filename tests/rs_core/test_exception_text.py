"""What a person reads of an error: one line, without what libraries write for their own developers."""

import time

import pytest
import torch

from radii.rs_core.errors import NetworkFailed, NotFinite
from radii.rs_core.exception_text import cause_of, raise_as_network_failure
from radii.rs_core.out_of_memory import network_failures

PLEASE = (
    "Please file an issue to PyTorch at https://github.com/pytorch/pytorch/issues/new so that we can prioritize it."
)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)",
            "mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)",
        ),
        (f"avg_pool3d: not implemented for Half. {PLEASE}", "avg_pool3d: not implemented for Half"),
        (f"{PLEASE}\n\nno such kernel\nat line 3", "no such kernel"),
        (
            'x > 0 INTERNAL ASSERT FAILED at "/__w/a.cpp":71, please report a bug to PyTorch. wrong rank',
            "x > 0 an internal check failed",
        ),
        ("bad size\nException raised from f at /a.cpp:3 (most recent call first):\nframe #0", "bad size"),
        ("", ""),
    ],
)
def test_the_cause_is_the_first_line_without_remarks_to_developers(text: str, cause: str) -> None:
    assert cause_of(RuntimeError(text)) == f"RuntimeError: {cause}".rstrip(" :")


def test_the_cause_of_an_error_in_a_loader_process_is_the_original_one() -> None:
    text = "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  x\nValueError: no"
    assert cause_of(RuntimeError(text)) == "ValueError: no"


def test_a_cause_is_short_and_found_in_linear_time() -> None:
    """A megabyte of what the expressions look for takes no longer than fifty passes over as many other bytes."""
    strings = [
        'INTERNAL ASSERT FAILED at "' * 40_000,
        "Please file an issue" * 50_000,
        "\n" * 2**20,
        "report a bug " * 80_000,
    ]

    def seconds(text: str) -> float:
        start = time.perf_counter()
        assert len(cause_of(RuntimeError(text))) <= 300
        return time.perf_counter() - start

    plain = max(seconds("a" * 2**20), 1e-4)
    assert max(min(seconds(text) for _ in range(3)) for text in strings) < 50 * plain


def test_errors_of_the_network_are_told_from_those_of_the_device() -> None:
    for error in (
        RuntimeError("CUDA error: device-side assert triggered"),
        NotFinite(expected="a", got="b"),
        OSError("x"),
    ):
        raise_as_network_failure(error)
    with pytest.raises(NetworkFailed, match=r"of shape \(2, 1, 4, 4\), got RuntimeError: .* cannot be multiplied"):
        try:
            torch.zeros(2, 3) @ torch.zeros(4, 5)
        except RuntimeError as error:
            raise_as_network_failure(error, (2, 1, 4, 4))


def test_whatever_a_forward_pass_raises_is_of_the_network_and_an_assertion_of_ours_is_not() -> None:
    class Asserting(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[1] == 3, "three channels"
            return x

    said = r"of shape \(2, 1, 4, 4\), got AssertionError: three channels"
    with pytest.raises(NetworkFailed, match=said), network_failures((2, 1, 4, 4)):
        Asserting()(torch.zeros(2, 1, 4, 4))
    with pytest.raises(AssertionError, match="ours"), network_failures():
        raise AssertionError("ours")


def test_running_out_of_memory_is_no_failure_of_the_network() -> None:
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")):
        with pytest.raises(type(error)), network_failures():
            raise error
