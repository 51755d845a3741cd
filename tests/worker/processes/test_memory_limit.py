"""The memory of a container is its limit, of whichever version its control groups are."""

import os
from pathlib import Path

import pytest

from radii.worker.processes import memory_limit
from radii.worker.settings import GIB, Settings


def _group(path: Path, name: str, text: str) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / name).write_text(text)


def test_the_limits_of_the_group_and_of_those_above_it_are_found(tmp_path: Path) -> None:
    groups = tmp_path / "cgroup"
    groups.write_text("4:memory:/docker/abc\n1:cpu:/docker/abc\n0::/pods/one\n")
    _group(tmp_path / "memory" / "docker" / "abc", "memory.limit_in_bytes", "9223372036854771712\n")
    _group(tmp_path / "memory" / "docker", "memory.limit_in_bytes", "3000\n")
    _group(tmp_path / "pods" / "one", "memory.max", "max\n")
    _group(tmp_path / "pods", "memory.max", "2000\n")
    assert sorted(memory_limit.limits(groups, tmp_path)) == [2000, 3000, 9223372036854771712]
    assert memory_limit.limits(tmp_path / "absent", tmp_path) == []


def test_the_total_is_no_more_than_the_machine_has() -> None:
    assert 0 < memory_limit.total() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("total", "convert", "decode", "results"),
    [(4, 4, 2, 2), (8, 8, 2, 2), (1024, 16, 16, 4)],
    ids=["small", "medium", "large"],
)
def test_budgets_follow_the_machine(
    total: int, convert: int, decode: int, results: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_limit, "total", lambda: total * GIB)
    found = Settings()
    assert (found.convert_memory, found.decode_memory) == (convert * GIB, decode * GIB)
    assert found.results_memory == results * GIB
