"""Memory that is freed goes back to the system."""

import subprocess
import sys

import pytest

RESIDENT = """
import sys
from pathlib import Path
from radii.rs_core import glibc_malloc
def resident(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
if sys.argv[1] == "give back": glibc_malloc.give_back(arenas=2)
for size in (2, 4, 8, 16):  # each block that is freed makes glibc keep the next size, too
    bytearray(b"x") * (size * 2**20)
before = resident()
large, kept = [], []
for _ in range(64):
    large.append(b"x" * (2 * 2**20))
    kept.append(b"x" * 100_000)  # above them, so that what is kept cannot be cut off at its end
del large
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="about glibc")
def test_large_blocks_that_are_freed_go_back_to_the_system() -> None:
    left = {}
    for how in ("keep", "give back"):
        made = subprocess.run([sys.executable, "-c", RESIDENT, how], capture_output=True, text=True, check=True)
        left[how] = float(made.stdout)
    assert left["keep"] > 100, "MiB: what glibc does by itself"
    assert left["give back"] < 20
