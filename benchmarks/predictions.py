"""Predictions over HTTP, as somebody sees them who waits: seconds to the first answer and to the complete one.

A service of its own with one worker, embedded (SQLite, local worker) and, where they run on this machine, with Postgres, Redis
and a Celery worker. Each request is sent alone, with ``until=first``, and then waited for; medians and 95th percentiles.
Warm: the model stays loaded. Another model: three in turn, of which two stay loaded. A fresh child: an idle one is ended at
once. Busy: the only worker is in a long certification, and makes way. Beside them the engine's own time for the same votes,
and what the decoding of an image costs. The last line is one JSON object. A run that was stopped goes on with ``--rows``, a file
in which each row is written as soon as it is there.

    .venv/bin/python benchmarks/predictions.py [--quick] [--requests 100] [--rows FILE] [--out benchmarks/results/predictions.md]
"""

import argparse
import contextlib
import io
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import shown
from PIL import Image
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from radii.rs_core.data.builtin import digit_pixels
from radii.rs_core.data.json_pixels import read_lists
from radii.service.client.client import Client
from radii.service.demo import service_in
from radii.worker.sandbox.decoder_client import Decoder
from radii.worker.tasks.environment import cpu_name

POSTGRES, REDIS = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres", "redis://127.0.0.1:6379/0"
MODELS = 3
START = 1_397
SHAPE = (1, 8, 8)
ONE, TEN, ANOTHER = "warm, one image", "warm, ten images", "another model each time, one image"
BUSY, FRESH = "the only worker is busy, one image", "a fresh child each time, one image"
NAMES = {False: (ONE, TEN, ANOTHER, BUSY), True: (FRESH,)}
"""Of the rows; by whether the children of the service are fresh."""
Environment = dict[str, str]


def main() -> None:
    """Each mode in turn, each with two services: of the second one the children are fresh."""
    options = _options()
    asked = {
        "machine": cpu_name(),
        "cores": os.cpu_count(),
        "n": options.n,
        "requests": options.requests,
        "threads": options.threads,
    }
    rows = _read(options.rows, asked)
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="radii-predictions-")))
        for mode, environment in _modes(stack):
            for fresh in (False, True):
                done = {row["name"] for row in rows if row["mode"] == mode}
                missing = [name for name in NAMES[fresh] if name not in done]
                if not missing:
                    continue
                folder = scratch / f"{mode} {fresh}".replace(" ", "-")
                more = {"RADII_KEEP_WARM": "0"} if fresh else {}
                with _service(folder, environment() | more, mode) as url:
                    found = _of_fresh_children(url, options) if fresh else _of_a_service(url, options, missing)
                    for row in found:
                        rows.append({"mode": mode, **row})
                        _keep(options.rows, asked, rows[-1])
    figures = {**asked, "rows": rows, "decoding": _decoding(options.requests)}
    shown.finish(_text(figures, shown.command()), figures, options.out)


def _read(file: Path | None, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What an earlier run has kept, which was asked for the same on the same machine."""
    kept = [json.loads(line) for line in file.read_text().splitlines()] if file is not None and file.exists() else []
    if others := [line["asked"] for line in kept if line["asked"] != asked]:
        raise SystemExit(f"Expected rows of {asked} in {file}, got some of {others[0]}: name another file with --rows.")
    return [line["row"] for line in kept]


def _keep(file: Path | None, asked: dict[str, Any], row: dict[str, Any]) -> None:
    if file is not None:
        with file.open("a") as kept:
            kept.write(json.dumps({"asked": asked, "row": row}) + "\n")


def _of_a_service(url: str, options: argparse.Namespace, missing: Sequence[str]) -> Iterator[dict[str, Any]]:
    with Client(url) as client, httpx.Client(base_url=url, timeout=120.0) as http:
        models, dataset = _models(client)
        one, ten = _png(0), _npz(range(10))
        asked: list[tuple[str, bytes, Callable[[int], str]]] = [
            (ONE, one, lambda _: models[0]),
            (TEN, ten, lambda _: models[0]),
            (ANOTHER, one, lambda number: models[number % MODELS]),
        ]
        for name, body, model in asked:
            if name in missing:
                yield _row(
                    name, [_asked(http, model(number), body, options.n) for number in range(-2, options.requests)]
                )
        if BUSY not in missing:
            return
        long = client.certify(checkpoint=models[0], dataset=dataset, n=1_000_000, inputs={"start": START})
        while not long.refresh().progress.work_done:
            time.sleep(0.1)
        found = [_asked(http, models[0], one, options.n) for _ in range(-2, options.requests)]
        assert not long.refresh().ended, "it was busy all the time"
        yield _row(BUSY, found)
        long.cancel().wait()


def _of_fresh_children(url: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    with Client(url) as client, httpx.Client(base_url=url, timeout=120.0) as http:
        models, _ = _models(client, 1)
        found = []
        for _ in range(-2, options.requests):
            found.append(_asked(http, models[0], _png(0), options.n))
            time.sleep(1.0)  # the worker looks around, and ends its child
        yield _row(FRESH, found)


def _asked(http: httpx.Client, checkpoint: str, body: bytes, n: int) -> tuple[float, float, float]:
    """Seconds to the first answer, to the complete one, and of the engine."""
    started = time.perf_counter()
    query: dict[str, Any] = {"checkpoint": checkpoint, "n": n, "wait": 60, "until": "first"}
    answer = http.post("/v1/predictions", params=query, content=body).raise_for_status()
    first, found = time.perf_counter() - started, answer.json()
    if not found["complete"]:
        found = http.get(answer.headers["Location"], params={"wait": 60}).raise_for_status().json()
    complete = time.perf_counter() - started
    assert found["complete"], found
    return first, complete, sum(row["seconds"] for row in found["predictions"])


def _row(name: str, found: Sequence[tuple[float, float, float]]) -> dict[str, Any]:
    """Without the first two, which load what the others find there."""
    first, complete, engine = zip(*found[2:], strict=True)
    return {
        "name": name,
        "first_median": round(statistics.median(first), 4),
        "first_p95": round(_p95(first), 4),
        "complete_median": round(statistics.median(complete), 4),
        "complete_p95": round(_p95(complete), 4),
        "engine_median": round(statistics.median(engine), 4),
    }


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[max(0, round(0.95 * len(values)) - 1)]


def _models(client: Client, count: int = MODELS) -> tuple[list[str], Any]:
    """Checkpoints that differ, and the data that they were trained on."""
    dataset = client.add_dataset("digits", builtin="digits")
    fields: dict[str, Any] = {"architecture": "digits_cnn", "sigma": 0.25, "epochs": 3, "batch_size": 64}
    jobs = [
        client.train(dataset=dataset, learning_rate=0.05, inputs={"count": START}, seed=seed, **fields)
        for seed in range(count)
    ]
    return [str(job.wait(check=True).checkpoint_id) for job in jobs], dataset


def _pixels(number: int) -> np.ndarray[Any, Any]:
    return np.round(digit_pixels()[0][START + number] * 255.0 / 16).astype(np.uint8)


def _png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_pixels(number)).save(buffer, "PNG")
    return buffer.getvalue()


def _npz(numbers: Sequence[int]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, images=np.stack([_pixels(number) for number in numbers]))
    return buffer.getvalue()


def _modes(stack: contextlib.ExitStack) -> Iterator[tuple[str, Callable[[], Environment]]]:
    """Each mode, and what makes the environment of one service of it."""
    threads = {"RADII_THREADS": os.environ["RADII_THREADS"]} if "RADII_THREADS" in os.environ else {}
    yield "embedded", lambda: dict(threads)
    if _there(POSTGRES) and _redis_there():
        yield (
            "Postgres, Redis, Celery",
            lambda: (
                threads
                | {
                    "RADII_DATABASE_URL": stack.enter_context(_database()),
                    "RADII_BROKER_URL": REDIS,
                    "RADII_QUEUE": f"radii-predictions-{secrets.token_hex(4)}",
                }
            ),
        )


@contextmanager
def _service(folder: Path, environment: Environment, mode: str) -> Iterator[str]:
    """A service with one worker; its URL."""
    folder.mkdir()
    with service_in(folder, workers=1, settings=environment) as url, contextlib.ExitStack() as stack:
        if mode != "embedded":
            plain = {name: value for name, value in os.environ.items() if not name.startswith("RADII_")}
            worker = subprocess.Popen(
                [sys.executable, "-m", "radii.service.cli.main", "worker", "--data", str(folder / "data")],
                env=plain | environment,
                stderr=stack.enter_context((folder / "worker.log").open("w")),
            )
            stack.callback(worker.wait)
            stack.callback(worker.terminate)
        yield url


def _there(url: str) -> bool:
    try:
        create_engine(url).connect().close()
        return True
    except OperationalError:
        return False


def _redis_there() -> bool:
    import redis

    try:
        return bool(redis.Redis.from_url(REDIS, socket_connect_timeout=1).ping())
    except redis.RedisError:
        return False


@contextmanager
def _database() -> Iterator[str]:
    """A database that is there as long as the block lasts."""
    name, server = f"radii_predictions_{secrets.token_hex(4)}", create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def _decoding(times: int) -> dict[str, float]:
    """Milliseconds: the decoder's start with its first image, an image by it, and an image out of JSON."""
    decoder, png = Decoder(), _png(0)
    lists = json.dumps([(_pixels(0) / 255).tolist()]).encode()
    try:
        start = _timed(lambda: decoder.decode(png, shape=SHAPE, most=1), 1)
        return {
            "decoder_start": start,
            "png": _timed(lambda: decoder.decode(png, shape=SHAPE, most=1), times),
            "json": _timed(lambda: read_lists(lists), times),
        }
    finally:
        decoder.close()


def _timed(work: Callable[[], object], times: int) -> float:
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(1_000 * (time.perf_counter() - started))
    return round(statistics.median(found), 2)


def _text(figures: dict[str, Any], command: str) -> str:
    columns = ["", "first: median", "95 %", "complete: median", "95 %", "engine"]
    names = ("name", "first_median", "first_p95", "complete_median", "complete_p95", "engine_median")
    tables = "\n\n".join(
        f"{mode}:\n\n{shown.table(columns, [[row[name] for name in names] for row in figures['rows'] if row['mode'] == mode])}"
        for mode in dict.fromkeys(row["mode"] for row in figures["rows"])
    )
    spent = figures["decoding"]
    return f"""# Predictions over HTTP

```
{command}
```

{figures["machine"]}, {figures["cores"]} cores; `digits_cnn`, n = {figures["n"]:,}, {figures["requests"]} requests one after the other for each row. Seconds
from sending the request to the first answer, which has a certificate of 100 samples or more for each image, and to the complete
one; `engine` is the engine's own time for the same votes.

{tables}

Decoding of an 8x8 PNG in the confined process: {spent["png"]} ms; {spent["decoder_start"]} ms where the decoder has to be started; out of JSON,
in place: {spent["json"]} ms.
"""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--threads", type=int, help="CPU threads of the worker. (default: all cores)")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=Path, help="a file for rows as they come; those in it are not measured again")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.requests, options.n = 5, 1_000
    if options.threads:
        os.environ["RADII_THREADS"] = str(options.threads)
    return options


if __name__ == "__main__":
    main()
