"""The demo's service ends with the demo, however that ends."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.long

CODE = """
import signal, sys, time
from pathlib import Path
from radii.service.demo import service_in
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
with service_in(Path(sys.argv[1]), workers=1) as url:
    print(url, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("end", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT])
def test_its_service_has_ended_when_it_is_told_to_stop(tmp_path: Path, end: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", CODE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert httpx.get(f"{url}/healthz").status_code == 200
    process.send_signal(end)
    assert process.wait(timeout=60) == 130
    deadline = time.monotonic() + 5
    with pytest.raises(httpx.ConnectError):
        while time.monotonic() < deadline:
            httpx.get(f"{url}/healthz")
