"""Limits of a confined process only ever get lower."""

import subprocess
import sys

CODE = """
import resource
from radii.worker.isolation import limits
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 1000))
limits.lower(resource.RLIMIT_NOFILE, 256)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_soft_limit_that_is_lower_already_stays() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == "(100, 100)\n"
