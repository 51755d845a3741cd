"""These networks are too small to share between threads, which only wait for each other on a busy machine."""

import pytest


@pytest.fixture(autouse=True)
def small_networks(one_thread: None) -> None:
    """Every test here runs on one thread."""
