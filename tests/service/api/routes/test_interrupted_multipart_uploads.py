"""Uploads in parts to a real service, cut in the middle of a part: by a killed sender, and by a killed service."""

import hashlib
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests_support import processes
from tests_support.live import killed, running

from radii.service.client import uploads
from radii.service.client.client import Client
from radii.worker.store.blobs import multipart_uploads

pytestmark = pytest.mark.long

SENDER = """
import sys
from radii.service.client import uploads
from radii.service.client.client import Client
uploads.LARGE = 1
with Client(sys.argv[1]) as client:
    print(client.upload(sys.argv[2]).sha256)
"""


def test_a_sender_killed_in_the_middle_of_a_part_goes_on_with_the_upload_and_the_services_memory_stays_flat(
    tmp_path: Path,
) -> None:
    """192 MiB in twelve parts: the sender is killed, then a part is cut in its middle; what had come is not sent again."""
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        for number in range(12):
            file.write(random.Random(number).randbytes(16 * 2**20))
    command = [sys.executable, "-c", SENDER]
    with running(tmp_path / "data") as (address, service):
        sender = subprocess.Popen([*command, address, str(path)], stdout=subprocess.DEVNULL)
        parts = tmp_path / "data" / "blobs" / "parts"
        deadline = time.monotonic() + 60
        while len(list(parts.glob("*/*"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        sender.kill()
        sender.wait()
        there = len(list(parts.glob("*/*")))
        assert 3 <= there < 12
        (upload_id,) = (folder.name for folder in parts.iterdir())
        _cut_in_the_middle(address, upload_id)
        with Client(address) as client:
            client_upload_large, uploads.LARGE = uploads.LARGE, 1
            sent: list[int] = []
            try:
                made = uploads.in_parts(client.http, path, path.name, lambda done, size: sent.append(done))
            finally:
                uploads.LARGE = client_upload_large
        assert len(sent) <= 12 - there, "only what was missing"
        with path.open("rb") as file:
            assert made.sha256 == hashlib.file_digest(file, "sha256").hexdigest()
        assert _peak(service) < 400 * 2**20, "of the process that took 192 MiB"


def _peak(process: "subprocess.Popen[str]") -> int:
    """The most memory that a process has had, in bytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def _cut_in_the_middle(address: str, upload_id: str) -> None:
    """Begins to send the last part, and breaks off."""
    with _half_a_part(address, upload_id, 11):
        pass


def _half_a_part(address: str, upload_id: str, number: int) -> socket.socket:
    """A connection on which the first MiB of a part has been sent."""
    target = urlsplit(address)
    connection = socket.create_connection((target.hostname, target.port))
    connection.sendall(
        f"PUT /v1/uploads/{upload_id}/parts/{number} HTTP/1.1\r\nHost: {target.netloc}\r\n"
        f"Content-Length: {multipart_uploads.PART_SIZE}\r\n\r\n".encode()
    )
    connection.sendall(os.urandom(2**20))
    return connection


def test_a_service_killed_in_the_middle_of_a_part_goes_on_with_the_upload_when_it_is_there_again(
    tmp_path: Path,
) -> None:
    """kill -9 of the whole service while a part is on its way; another one on the same folder takes what is missing.

    RADII_TEST_UPLOAD_MIB makes the file larger: memory does not grow with it.
    """
    part, parts = multipart_uploads.PART_SIZE, int(os.environ.get("RADII_TEST_UPLOAD_MIB", "64")) // 16
    piece = random.Random(3).randbytes(part - 8)
    contents = (number.to_bytes(8, "big") + piece for number in range(parts))
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    body = {"name": "large.bin", "size": parts * part, "sha256": digest.hexdigest()}

    def send(client: httpx.Client, numbers: list[int]) -> None:
        for number in numbers:
            content = number.to_bytes(8, "big") + piece
            assert client.put(f"/v1/uploads/{upload['id']}/parts/{number}", content=content).status_code == 200

    data = tmp_path / "data"
    with killed(data, "--workers", "0") as (address, _), httpx.Client(base_url=address, timeout=60) as client:
        upload = client.post("/v1/uploads", json=body).json()
        send(client, upload["missing"][: parts // 2])
        sending = _half_a_part(address, upload["id"], parts // 2)
        processes.until(lambda: bool(list((data / "blobs" / "new").iterdir())), 20, "the part begins to be written")
    sending.close()
    with running(data, "--workers", "0") as (address, service), httpx.Client(base_url=address, timeout=600) as client:
        again = client.post("/v1/uploads", json=body).json()
        assert (again["id"], again["missing"]) == (upload["id"], list(range(parts // 2, parts)))
        send(client, again["missing"])
        before = _peak(service)
        made = client.post(f"/v1/uploads/{upload['id']}/complete").json()
        assert (made["size"], made["sha256"]) == (body["size"], body["sha256"])
        grown = _peak(service) - before
        print(f"{body['size'] / 2**20:,.0f} MiB: {_peak(service) / 2**20:.0f} MiB at most, {grown / 2**20:.1f} to join")
        assert _peak(service) < 300 * 2**20 and grown < 20 * 2**20
