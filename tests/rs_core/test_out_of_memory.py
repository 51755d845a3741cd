"""A full memory is told from every other error."""

import pytest
import torch

from radii.rs_core.out_of_memory import ran_out

MORE_THAN_THERE_IS = 1 << 50


def test_what_torch_says_of_a_full_memory_on_the_cpu_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(MORE_THAN_THERE_IS)
    assert ran_out(caught.value)


def test_what_python_says_of_it_is_understood() -> None:
    with pytest.raises(MemoryError) as caught:
        bytearray(MORE_THAN_THERE_IS)
    assert ran_out(caught.value)


def test_what_torch_says_of_a_full_gpu_is_understood() -> None:
    assert ran_out(torch.OutOfMemoryError("CUDA out of memory."))


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("can't allocate memory")])
def test_other_errors_are_left_alone(error: Exception) -> None:
    assert not ran_out(error)
