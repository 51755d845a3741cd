"""What a hostile tenant sends, each kind as one coroutine; each runs in a process of its own and talks to loopback alone.

The processes come from an address of their own, as a hostile client would. On another machine they would take no processor time
from the service that is measured. Here they run under the policy SCHED_IDLE, so they get what the service leaves of the cores and
send less while it is busy; ``nice`` runs them at the lowest priority of the usual policy instead.
"""

import asyncio
import contextlib
import io
import json
import os
import resource
import time
import zipfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SOURCE = "127.0.0.2"
MIB = 2**20
ENDED = 0
"""Counted as the status of requests that the service ended without an answer."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The service, the hostile tenant's key, and what it has there."""

    port: int
    key: str
    certified: tuple[str, ...]
    waiting: str
    dataset: str
    checkpoint: str
    bomb: str
    radii: str
    votes: str
    source: str = SOURCE
    """The address that the tenant comes from."""


class Sender:
    """Sends requests until the end, and counts the answers by status."""

    def __init__(self, target: Target, seconds: float) -> None:
        self.target, self.end = target, time.monotonic() + seconds
        self.statuses: Counter[int] = Counter()

    def left(self) -> float:
        """Seconds until the end."""
        return max(0.01, self.end - time.monotonic())

    async def times(self, count: int, act: Callable[[int], Awaitable[None]], pause: float = 0.0) -> None:
        """So many at a time, each again and again until the end; what the service ends is begun anew."""

        async def on(number: int) -> None:
            while time.monotonic() < self.end:
                try:
                    await asyncio.wait_for(act(number), self.left())
                except TimeoutError:
                    return
                except (OSError, ValueError, IndexError, asyncio.IncompleteReadError):
                    self.statuses[ENDED] += 1
                await asyncio.sleep(pause or 0.02)

        await asyncio.gather(*map(on, range(count)))

    async def open(self, source: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection from a hostile address."""
        local = (source or self.target.source, 0)
        return await asyncio.open_connection("127.0.0.1", self.target.port, local_addr=local)

    async def ask(self, method: str, path: str, body: bytes = b"", *, key: bool = True, **headers: str) -> None:
        """One request on a connection of its own, its answer read to the end."""
        reader, writer = await self.open()
        try:
            writer.write(self.head(method, path, key=key, Content_Length=str(len(body)), Connection="close", **headers))
            with contextlib.suppress(ConnectionError):  # the answer may come before all was sent
                writer.write(body)
                await writer.drain()
            self.count(await reader.readline())
            while await reader.read(MIB):
                pass
        finally:
            writer.close()

    def head(self, method: str, path: str, *, key: bool = True, **headers: str) -> bytes:
        """The head of a request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.target.port}"]
        lines += [f"Authorization: Bearer {self.target.key}"] if key else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def count(self, line: bytes) -> None:
        """Counts the status in the first line of an answer."""
        self.statuses[int(line.split()[1]) if line else ENDED] += 1


async def long_radius(sender: Sender) -> None:
    """A results file whose radius is 20,000 digits and a letter, compared."""
    await sender.times(4, lambda _: sender.ask("GET", f"/v1/compare?file={sender.target.radii}"))


async def unknown_fields(sender: Sender) -> None:
    """JSON with 900,000 unknown fields, and with as many as a body may hold."""
    bodies = [
        json.dumps({"kind": "certify", **{f"{i:x}": 1 for i in range(count)}}, separators=(",", ":")).encode()
        for count in (900_000, 100_000)
    ]
    json_type = {"Content_Type": "application/json"}
    await sender.times(4, lambda number: sender.ask("POST", "/v1/jobs", bodies[number % 2], **json_type))


async def class_names(sender: Sender) -> None:
    """Lists of datasets with 80,000 names of classes, 200 characters each."""
    paths = "/v1/datasets?limit=200", f"/v1/datasets/{sender.target.dataset}"
    await sender.times(4, lambda number: sender.ask("GET", paths[number % 2]))


async def half_open(sender: Sender) -> None:
    """1,000 requests at a time, without a key, that never end their head."""

    async def act(_: int) -> None:
        reader, writer = await sender.open()
        try:
            writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
            sender.count(await reader.readline())
        finally:
            writer.close()

    await sender.times(1_000, act, pause=0.5)


async def streams(sender: Sender) -> None:
    """2,000 event streams at a time."""

    async def act(_: int) -> None:
        reader, writer = await sender.open()
        try:
            writer.write(sender.head("GET", f"/v1/jobs/{sender.target.waiting}/events"))
            sender.count(await reader.readline())
            while await reader.read(65_536):
                pass
        finally:
            writer.close()

    await sender.times(2_000, act, pause=1.0)


async def long_polls(sender: Sender) -> None:
    """1,000 requests at a time that wait for a job."""
    await sender.times(1_000, lambda _: sender.ask("GET", f"/v1/jobs/{sender.target.waiting}?wait=60"), pause=1.0)


async def slow_bodies(sender: Sender) -> None:
    """500 bodies at a time that come byte by byte."""

    async def act(number: int) -> None:
        path = "/v1/jobs" if number % 2 else f"/v1/uploads/slow-{number}"
        reader, writer = await sender.open()
        answer = asyncio.ensure_future(reader.readline())
        try:
            kind = {"Content_Type": "application/json"} if number % 2 else {}
            writer.write(sender.head("POST" if number % 2 else "PUT", path, Content_Length=str(MIB), **kind))
            while not answer.done():
                writer.write(b" ")
                await asyncio.wait({answer}, timeout=1.0)
            sender.count(answer.result())
        finally:
            answer.cancel()
            writer.close()
            await asyncio.gather(answer, return_exceptions=True)

    await sender.times(500, act, pause=0.5)


async def endless_bodies(sender: Sender) -> None:
    """Bodies of 16 MiB without a key."""
    body, kind = bytes(16 * MIB), {"Content_Type": "application/json"}
    await sender.times(8, lambda _: sender.ask("POST", "/v1/jobs", body, key=False, **kind))


async def archive_bombs(sender: Sender) -> None:
    """npz files of a quarter of a MiB that hold 256 MiB: uploaded, registered, and sent for predictions."""
    bomb = _bomb()
    predictions = f"/v1/predictions?checkpoint={sender.target.checkpoint}"
    named = json.dumps({"name": "bomb", "files": [sender.target.bomb]}).encode()

    async def act(number: int) -> None:
        if number == 0:
            await sender.ask("PUT", f"/v1/uploads/{sender.target.bomb}", bomb)
            await sender.ask("POST", "/v1/datasets", named, Content_Type="application/json")
        await sender.ask("POST", predictions, bomb, Content_Type="application/octet-stream")

    await sender.times(8, act)


async def pixels_as_json(sender: Sender) -> None:
    """Images for predictions as 15 MiB of JSON."""
    rows = ",".join(["0.5"] * 1_024)
    body = ("[[" + ",".join([f"[{rows}]"] * (15 * MIB // len(rows))) + "]]").encode()
    path = f"/v1/predictions?checkpoint={sender.target.checkpoint}"
    await sender.times(8, lambda _: sender.ask("POST", path, body, Content_Type="application/json"))


async def documents(sender: Sender) -> None:
    """Reports, plots and comparisons of jobs with many inputs, 40 at a time."""
    jobs = sender.target.certified
    all_of_them = "&".join(f"job={job_id}" for job_id in jobs)

    async def act(number: int) -> None:
        job_id = jobs[number % len(jobs)]
        await sender.ask(
            "GET",
            (
                f"/v1/jobs/{job_id}/report.html",
                f"/v1/jobs/{job_id}/plots/certified-accuracy.png",
                f"/v1/compare?pairs=all&{all_of_them}",
                f"/v1/compare.html?pairs=all&{all_of_them}",
                f"/v1/jobs/{job_id}/certificates.csv",
                f"/v1/jobs/{job_id}/certificates?limit=1000",
            )[number % 6],
        )

    await sender.times(40, act)


async def deep_json(sender: Sender) -> None:
    """JSON that is nested half a million times, and as often as a parser takes."""
    bodies = [
        b"[" * (MIB - 1),
        b'{"kind":"certify","inputs":' + b'{"a":' * 900 + b"1" + b"}" * 901,
        b'{"kind":"certify","x":' + b"[" * 900 + b"]" * 900 + b"}",
    ]
    json_type = {"Content_Type": "application/json"}
    await sender.times(8, lambda number: sender.ask("POST", "/v1/jobs", bodies[number % 3], **json_type))


async def long_heads(sender: Sender) -> None:
    """Queries and headers of 60 KiB."""
    queries = ["job=" + "x" * 60_000, "&".join(["job=x"] * 10_000), "&".join(["a=b"] * 15_000)]

    async def act(number: int) -> None:
        if number % 4 < 3:
            await sender.ask("GET", f"/v1/compare?{queries[number % 4]}")
        else:
            await sender.ask("GET", "/v1/jobs", Last_Event_ID="9" * 20_000, If_None_Match='"x",' * 10_000)

    await sender.times(16, act)


async def jobs_and_metrics(sender: Sender) -> None:
    """Jobs up to the quota, lists of them, and scrapes of the metrics, 24 at a time."""
    body = {"kind": "certify", "dataset": sender.target.dataset, "checkpoint": sender.target.checkpoint, "n": 1_000}
    sent, json_type = json.dumps(body | {"inputs": {"count": 1}}).encode(), {"Content_Type": "application/json"}

    async def act(number: int) -> None:
        if number % 3 == 0:
            await sender.ask("POST", "/v1/jobs", sent, **json_type)
        elif number % 3 == 1:
            await sender.ask("GET", "/metrics", key=False)
        else:
            await sender.ask("GET", "/v1/jobs?limit=200")

    await sender.times(24, act)


async def unread_answers(sender: Sender) -> None:
    """Large answers without a key, asked for eight at a time on 18 connections of three addresses, and never read."""

    async def act(number: int) -> None:
        _, writer = await sender.open(f"127.0.0.{2 + number % 3}")
        try:
            writer.write(sender.head("GET", "/openapi.json", key=False) * 8)
            sender.statuses[ENDED] += 1
            await asyncio.sleep(sender.left())
        finally:
            writer.close()

    await sender.times(18, act)


async def guessed_keys(sender: Sender) -> None:
    """Requests with made-up keys and long heads, whose connections are closed at once."""

    async def act(_: int) -> None:
        _, writer = await sender.open()
        writer.write(sender.head("GET", "/v1/jobs", key=False, Authorization="Bearer guess", X_Long="x" * 8_000))
        await writer.drain()
        writer.close()
        sender.statuses[ENDED] += 1

    await sender.times(8, act, pause=0.001)


async def votes_compared(sender: Sender) -> None:
    """A results file of votes, one MiB of NDJSON, compared."""
    await sender.times(4, lambda _: sender.ask("GET", f"/v1/compare?file={sender.target.votes}"))


async def small_things(sender: Sender) -> None:
    """Readiness, usage, and uploads that are made and deleted, 16 at a time."""

    async def act(number: int) -> None:
        if number % 4 == 0:
            await sender.ask("GET", "/readyz", key=False)
        elif number % 4 == 1:
            await sender.ask("GET", "/v1/usage")
        else:
            await sender.ask("PUT", f"/v1/uploads/small-{number}", b"small")
            await sender.ask("DELETE", f"/v1/uploads/small-{number}")

    await sender.times(16, act)


KINDS: dict[str, Callable[[Sender], Awaitable[None]]] = {
    "a results file with a radius of 20,000 digits, compared": long_radius,
    "JSON with 900,000 unknown fields": unknown_fields,
    "lists of datasets with 80,000 class names": class_names,
    "1,000 half-open requests": half_open,
    "2,000 event streams": streams,
    "1,000 long polls": long_polls,
    "500 slow bodies": slow_bodies,
    "bodies of 16 MiB without a key": endless_bodies,
    "archives that expand a thousandfold": archive_bombs,
    "15 MiB of pixels as JSON": pixels_as_json,
    "reports, plots, comparisons and files": documents,
    "deeply nested JSON": deep_json,
    "queries and headers of 60 KiB": long_heads,
    "many jobs, lists of them and scrapes": jobs_and_metrics,
    "answers that nobody reads": unread_answers,
    "made-up keys on connections that are closed": guessed_keys,
    "a results file of votes, compared": votes_compared,
    "readiness, usage, small uploads and deletions": small_things,
}


def run(name: str, target: Target, seconds: float, nice: bool, imported: Any, begin: Any, answers: Any) -> None:
    """Sends one kind of request for ``seconds``; puts the statuses of its answers. The target of ``multiprocessing.Process``.

    Args:
        name: Of ``KINDS``.
        target: What is attacked.
        seconds: How long.
        nice: Whether it competes for processor time, at the lowest priority, or gets only what nobody else uses.
        imported: A semaphore that is released when this process has imported what it needs.
        begin: An event for which it waits then.
        answers: A queue for the name and the statuses.
    """
    if nice:
        os.nice(19)
    else:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    imported.release()
    begin.wait()
    sender = Sender(target, seconds)
    try:
        asyncio.run(KINDS[name](sender))
    finally:
        answers.put((name, dict(sender.statuses)))


def _bomb() -> bytes:
    """An npz whose array of zeros is a thousand times as large as the file."""
    shape = (256 * 16, 1, 256, 256)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("images.npy", "w", force_zip64=True) as member,
    ):
        member.write(head.getvalue())
        for _ in range(256):
            member.write(bytes(MIB))
    return file.getvalue()
