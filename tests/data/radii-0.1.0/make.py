"""Writes ``data.tar.gz`` and ``expected.json.gz`` with radii 0.1.0. README.md in this folder says how to run it.

Everything goes through the programs of 0.1.0: its service over HTTP, and its workers as processes. This script imports
neither 0.1.0 nor a later version. It reads the database to see when to kill a worker, and changes only times in it.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

HERE = Path(__file__).parent
ENDED = ("succeeded", "failed", "cancelled", "expired")
DAYS = 60
"""Age of the fixture when it is made: leases have run out, and uploads are older than they are kept."""
TIMES = ("created", "started", "finished", "updated", "seen", "lease_until", "rung", "revoked")
FIELDS = {
    "RADII_DEVICE": "cpu",
    "RADII_THREADS": "1",
    "RADII_COMPILE": "never",
    "RADII_COMMIT": "0.02",
    "RADII_POLL": "0.02",
    "RADII_SNAPSHOT": "0.05",
    "RADII_SHARD_SECONDS": "0.05",
    "RADII_LEASE": "3600",
}
SMALL: dict[str, Any] = {"inputs": {"start": 1_500, "count": 6}, "n0": 100, "n": 1_000}
LARGE: dict[str, Any] = {"inputs": {"start": 1_510, "step": 3, "count": 6}, "n0": 100, "n": 10_000}
QUEUED: dict[str, Any] = {"inputs": {"start": 1_600, "count": 4}, "n0": 50, "n": 2_000}
NAMES = list("abcdefghij")
RADII = [0.1, 0.25, 0.5]


class Old:
    """The programs of radii 0.1.0 on one data folder."""

    def __init__(self, code: Path, python: Path, data: Path) -> None:
        self._code, self._python, self.data = code, python, data
        self._environment = {**os.environ, **FIELDS, "RADII_DATA": str(data)}

    @contextmanager
    def service(self) -> Iterator[httpx.Client]:
        """The service, without workers."""
        command = [str(self._python), "-m", "service.cli", "up", "--port", "0", "--data", str(self.data)]
        process = subprocess.Popen(
            command,
            cwd=self._code,
            env=self._environment | {"RADII_LOCAL_WORKERS": "0"},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[-1]
            with httpx.Client(base_url=url, timeout=60) as client:
                yield client
        finally:
            process.terminate()
            process.wait()

    @contextmanager
    def worker(self, *, kill: bool = False) -> Iterator[None]:
        """One worker, which ends in order or, with ``kill``, by SIGKILL together with its child process."""
        process = subprocess.Popen(
            [self._python, "-m", "worker.local"],
            cwd=self._code,
            env=self._environment,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            yield
        finally:
            if kill:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.terminate()
            process.wait()

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the database."""
        with closing(sqlite3.connect(f"file:{self.data / 'radii.db'}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query, values).fetchall()


def until(condition: Any, what: str, seconds: float = 300.0) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.005)


def answer(response: httpx.Response) -> Any:
    """The body of an answer without an error."""
    assert response.is_success, f"{response.request.url}: {response.text}"
    return response.json()


class Maker:
    """Submits jobs and remembers their names."""

    def __init__(self, old: Old, http: httpx.Client) -> None:
        self.old, self.http = old, http
        self.jobs: dict[str, str] = {}

    def submit(self, name: str, /, **body: Any) -> str:
        """A job, by the name that the test calls it."""
        self.jobs[name] = str(answer(self.http.post("/v1/jobs", json=body))["id"])
        return self.jobs[name]

    def add(self, name: str, noun: str, /, **body: Any) -> dict[str, Any]:
        """A dataset or checkpoint, and its conversion by name."""
        made: dict[str, Any] = answer(self.http.post(f"/v1/{noun}", json={"name": name} | body))
        self.jobs[name] = made["job"]
        return made

    def upload(self, name: str, content: bytes) -> str:
        """The name of an upload."""
        answer(self.http.put(f"/v1/uploads/{name}", content=content))
        return name

    def wait(self, *names: str) -> None:
        """Waits until jobs have ended."""
        until(lambda: all(self.state(name) in ENDED for name in names), f"{', '.join(names)} end")

    def state(self, name: str) -> str:
        """The state of a job."""
        return str(self.old.rows("SELECT state FROM job WHERE id = ?", self.jobs[name])[0][0])

    def one(self, query: str, name: str) -> int:
        """A number of a job."""
        return int(self.old.rows(query, self.jobs[name])[0][0] or 0)

    def killed_inside(self, name: str) -> None:
        """Lets a worker start a job and kills it when results are partly stored."""
        kind = self.old.rows("SELECT kind FROM job WHERE id = ?", self.jobs[name])[0][0]
        with self.old.worker(kill=True):
            until(lambda: self._inside(name, kind), f"{name} is partly done")
        assert self.state(name) == "running" and self._inside(name, kind), f"{name} was killed too late"

    def _inside(self, name: str, kind: str) -> bool:
        leased = self.one("SELECT count(*) FROM shard WHERE state = 'leased' AND job_id = ?", name)
        if kind == "convert" or not leased:
            return bool(leased)
        if kind == "train":
            resume = self.old.rows("SELECT resume FROM shard WHERE job_id = ?", self.jobs[name])[0][0]
            place = json.loads(resume) if resume else {"epoch": 0, "step": 0}
            return bool(place["epoch"] >= 2 and place["step"] > 0)
        if kind == "certify":
            done = self.one("SELECT count(*) FROM certificate WHERE job_id = ?", name)
            begun = self.one("SELECT count(*) FROM sample_progress WHERE drawn > 0 AND job_id = ?", name)
            sampling = json.loads(self.old.rows("SELECT spec FROM job WHERE id = ?", self.jobs[name])[0][0])["sampling"]
            return bool(begun and (done or sampling == "anytime"))
        if kind == "verify":
            return self.one("SELECT work_done FROM job_summary WHERE job_id = ?", name) > 0
        return self.one("SELECT done FROM job_summary WHERE job_id = ?", name) > 0


def images_file(**names: Any) -> bytes:
    """A dataset of twelve images as npz."""
    pixels = np.random.default_rng(4).integers(0, 256, (12, 1, 8, 8)).astype(np.uint8)
    found = io.BytesIO()
    np.savez_compressed(found, images=pixels, labels=np.arange(12) % 10, **names)
    return found.getvalue()


def training(dataset: str, count: int, epochs: int, seed: int) -> dict[str, Any]:
    """A training under Gaussian noise."""
    return {
        "kind": "train",
        "dataset": dataset,
        "architecture": "digits_cnn",
        "sigma": 0.25,
        "epochs": epochs,
        "batch_size": 64,
        "learning_rate": 0.05,
        "lr_step": 2,
        "inputs": {"count": count},
        "seed": seed,
    }


def every_kind(maker: Maker, size: dict[str, Any], both: dict[str, Any], word: str) -> Iterator[str]:
    """Submits certify, predict, soft_labels and evaluate jobs one by one, each more urgent than the one before."""
    votes = {"inputs": size["inputs"], "n": size["n"]}
    attack = {"name": "attack", "epsilons": [0.0, 0.25], "steps": 3, "m": 4, "n": size["n"]}
    if word == "finished":
        attack["certificates"] = maker.jobs["finished certify, verified"]
    bodies: dict[str, dict[str, Any]] = {
        "certify fixed": {"kind": "certify"} | size,
        "certify two_class": {"kind": "certify", "bound": "two_class"} | size,
        "certify anytime": {"kind": "certify", "sampling": "anytime", "guarantee": "dataset"} | size,
        "certify at_radii": {"kind": "certify", "sampling": "at_radii", "radii": RADII} | size,
        "certify pilot": {"kind": "certify", "sampling": "pilot"} | size,
        "predict": {"kind": "predict"} | votes,
        "soft_labels": {"kind": "soft_labels"} | votes,
        "evaluate": {"kind": "evaluate", "evaluation": attack, "inputs": size["inputs"]},
    }
    for number, (name, body) in enumerate(bodies.items()):
        urgency = {"priority": 10 + number} if word == "running" else {}
        maker.submit(f"{word} {name}", **body, **both, **urgency, seed=number)
        yield f"{word} {name}"


def fill(maker: Maker) -> None:
    """Jobs of every kind: finished, killed inside, and queued."""
    http, old = maker.http, maker.old
    with old.worker():
        digits = maker.add("finished convert digits", "datasets", builtin="digits")["id"]
        npz = {"files": [maker.upload("images.npz", images_file(class_names=np.array(NAMES)))]}
        unnamed = {"files": [maker.upload("unnamed.npz", images_file())], "class_names": NAMES}
        noise = maker.add("finished convert npz", "datasets", **npz)["id"]
        maker.add("finished convert unnamed", "datasets", **unnamed)
        maker.add("failed convert", "datasets", files=[maker.upload("words.npz", b"these are no images")])
        maker.wait(*maker.jobs)
        checked = {"every": 1, "inputs": {"start": 1_400, "step": 40}, "n0": 20, "n": 100}
        body = training(digits, 1_280, 4, 1) | {"test_dataset": digits, "certification": checked, "name": "trained"}
        maker.submit("finished train", **body)
        maker.wait("finished train")
        trained = answer(http.get(f"/v1/jobs/{maker.jobs['finished train']}"))["checkpoint"]
        sha256 = answer(http.get(f"/v1/checkpoints/{trained}"))["sha256"]
        weights = {"file": maker.upload("weights.safetensors", http.get(f"/v1/blobs/{sha256}").content)}
        converted = maker.add("finished convert checkpoint", "checkpoints", **weights)["id"]
        mix = {"kind": "mixed", "parts": [trained, trained], "robust_weight": 0.6}
        mixed = maker.add("finished convert mix", "checkpoints", compose=mix)["id"]
        maker.wait("finished convert checkpoint", "finished convert mix")
        both = {"checkpoint": trained, "dataset": digits}
        maker.submit("finished certify, verified", kind="certify", **LARGE | {"inputs": SMALL["inputs"]}, **both)
        maker.submit("finished certify mixed", kind="certify", bound="mixed", dataset=digits, checkpoint=mixed, **SMALL)
        of_noise = {"dataset": noise, "checkpoint": trained, "inputs": {}}
        maker.submit("finished certify discrete", kind="certify", noise="discrete", **SMALL | of_noise)
        for _ in every_kind(maker, SMALL, both | {"checkpoint": converted}, "finished"):
            pass
        maker.submit("finished verify", kind="verify", job=maker.jobs["finished certify, verified"], inputs=3, seed=1)
        maker.wait(*(name for name in maker.jobs if name.startswith("finished")))
    for name, job_id in maker.jobs.items():
        assert maker.state(name) == ("failed" if name == "failed convert" else "succeeded"), (name, job_id)
    maker.submit("cancelled predict", kind="predict", **both, inputs={"count": 2})
    answer(http.post(f"/v1/jobs/{maker.jobs['cancelled predict']}/cancel"))

    for name in every_kind(maker, LARGE, both, "running"):
        maker.killed_inside(name)
    audit = {"job": maker.jobs["finished certify, verified"], "inputs": 6, "seed": 2, "priority": 30}
    maker.submit("running verify", kind="verify", **audit)
    maker.killed_inside("running verify")
    maker.submit("running train", **training(digits, 640, 6, 2) | {"name": "half trained", "priority": 31})
    maker.killed_inside("running train")
    maker.add("running convert", "datasets", builtin="digits")
    maker.killed_inside("running convert")

    for _ in every_kind(maker, QUEUED, both, "queued"):
        pass
    maker.submit("queued verify", kind="verify", job=maker.jobs["running certify fixed"], inputs=2, seed=3)
    maker.submit("queued train", **training(digits, 256, 2, 3) | {"start_from": trained, "name": "not begun"})
    method = {"name": "cat_rs", "m": 2, "steps": 1, "soft_label_n": 50}
    maker.submit("queued train, needs", **training(digits, 128, 1, 4) | {"method": method, "name": "of votes"})
    maker.add("queued convert digits", "datasets", builtin="digits")
    maker.add("queued convert npz", "datasets", **npz)
    maker.add("queued convert unnamed", "datasets", **unnamed)
    maker.add("queued convert checkpoint", "checkpoints", **weights)
    needed = "SELECT needs_id FROM job WHERE id = ?"
    maker.jobs["queued soft_labels, needed"] = old.rows(needed, maker.jobs["queued train, needs"])[0][0]
    maker.jobs["queued train, needed"] = old.rows(needed, maker.jobs["queued soft_labels, needed"])[0][0]


def aged(data: Path) -> None:
    """Moves all times back, and leaves one file of the database."""
    with closing(sqlite3.connect(data / "radii.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] in TIMES]
            for column in columns:
                moved = f"{column} = {column} - {DAYS * 86_400}"
                connection.execute(f"UPDATE {table} SET {moved} WHERE {column} > 1e9")
        connection.execute("DELETE FROM device_time")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")


def pack(data: Path, target: Path) -> None:
    """The database and the blobs as an archive; nothing that belongs to a process that runs."""
    with tarfile.open(target, "w:gz", compresslevel=9) as archive:
        archive.add(data / "radii.db", "radii.db")
        for path in sorted((data / "blobs").glob("??/*")):
            archive.add(path, str(path.relative_to(data)))


def expected(maker: Maker) -> dict[str, Any]:
    """What 0.1.0 answers about each job."""
    return {name: told(maker.http, job_id) for name, job_id in maker.jobs.items()}


def told(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """A job, its results and its report."""
    job = answer(http.get(f"/v1/jobs/{job_id}"))
    found = {"job": job}
    rows = {
        "certify": "certificates",
        "predict": "predictions",
        "soft_labels": "predictions",
        "evaluate": "evaluations",
        "train": "epochs",
    }
    if job["kind"] in rows:
        found[rows[job["kind"]]] = answer(http.get(f"/v1/jobs/{job_id}/{rows[job['kind']]}"))["items"]
    if job["kind"] in ("certify", "evaluate"):
        found["report"] = answer(http.get(f"/v1/jobs/{job_id}/report"))
    if job["kind"] in ("convert", "train"):
        noun = "datasets" if job["kind"] == "convert" and job["dataset"] else "checkpoints"
        found[noun[:-1]] = made = answer(http.get(f"/v1/{noun}/{job[noun[:-1]]}"))
        if job["kind"] == "train":
            content = http.get(f"/v1/blobs/{made['sha256']}").content
            found["weights"] = hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--code", type=Path, required=True, help="checkout of radii 0.1.0")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="Python that can run it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        old = Old(given.code, given.python, Path(folder) / "data")
        with old.service() as http:
            maker = Maker(old, http)
            fill(maker)
        aged(old.data)
        pack(old.data, HERE / "data.tar.gz")
        states = {name: maker.state(name) for name in maker.jobs}
        with old.service() as http, old.worker():
            maker.http, begun = http, time.monotonic()
            maker.wait(*maker.jobs)
            print(f"The jobs that had not ended took {time.monotonic() - begun:.0f} s.")
            found = expected(maker)
    lines = [f"{json.dumps(name)}: {json.dumps(found[name] | {'before': states[name]})}" for name in found]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    (HERE / "expected.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    print(json.dumps({name: [states[name], found[name]["job"]["state"]] for name in found}, indent=1))


if __name__ == "__main__":
    main()
