"""A real service: `radii up` in a process of its own, with its local worker."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(data: Path, *flags: str, **variables: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A service on a free port, ended in order with the block; its address and process."""
    with _started(data, flags, variables) as (address, process):
        try:
            yield address, process
        finally:
            process.terminate()
            assert process.wait(timeout=60) == 0


@contextmanager
def killed(data: Path, *flags: str, **variables: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The same, but killed at the end of the block: kill -9."""
    with _started(data, flags, variables) as found:
        yield found


@contextmanager
def _started(
    data: Path, flags: tuple[str, ...], variables: dict[str, str]
) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    log = (data.parent / f"{data.name}.log").open("w")
    environment = {**os.environ, "RADII_POLL": "0.1", "RADII_COMMIT": "0.3", "RADII_DEVICE": "cpu", **variables}
    environment.setdefault("RADII_COMPILE", "never")  # half a minute, which its own tests take
    process = subprocess.Popen(
        [sys.executable, "-m", "radii.service.cli.main", "up", "--port", "0", "--data", str(data), *flags],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.fullmatch(r"radii is listening on (http://127\.0\.0\.1:\d+)\n", line)
        assert found is not None, f"{line!r}: {Path(log.name).read_text()}"
        yield found[1], process
    finally:
        process.kill()
        process.wait()
        log.close()
