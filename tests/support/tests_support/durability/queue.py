"""What a queue promises: inputs that are isolated, fair shares, and submissions that are made once. Scenarios 8 to 10."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
from sqlalchemy import select

from radii.worker.store import jobs
from radii.worker.store.models.result_tables import CertificateRow
from radii.worker.store.models.tables import DeviceTime, Event, Job
from tests_support.durability.house import House, house, light
from tests_support.durability.outcome import Figures
from tests_support.durability.poisons import BUILDERS, NETWORK, POISON_ROWS
from tests_support.durability.waiting import until
from tests_support.durability.workers_lost import KINDS

WORKERS = 2
ADDRESS_SPACE = 12 * 2**30
"""Bytes that a worker's processes may have in the proof of poisonous inputs; a child with torch begins at 3.4 GiB."""


def poison(*, inputs: int, acts: tuple[str, ...]) -> Figures:
    """8. One input that ends the process that works on it, takes all memory, or never returns: the others are certified, and
    the job says which one was not."""
    total: Figures = {"inputs": inputs, "acts": len(acts), "certified": 0, "isolated": 0, "good_given_up": 0}
    total |= {"lost": 0, "doubled": 0}
    for number, act in enumerate(acts):
        with house(KINDS[number % 2], child_silence=6.0, keep_warm=60.0) as here:
            bad = inputs // 3
            job_id = poisoned(here, inputs, bad, act)
            here.worker(PROOF_MEMORY=str(ADDRESS_SPACE))
            here.until_ended(job_id, 600.0)
            with here.database.read() as session:
                failed = select(CertificateRow.index).where(
                    CertificateRow.job_id == job_id, CertificateRow.error.is_not(None)
                )
                given_up = list(session.scalars(failed))
                told = list(
                    session.scalars(select(Event.data).where(Event.job_id == job_id, Event.type == "input_failed"))
                )
            outcome = here.compared(job_id, inputs)
            total["certified"] += inputs - outcome.lost - outcome.failed
            total["isolated"] += given_up == [bad] and [data["index"] for data in told] == [bad]
            total["good_given_up"] += len(set(given_up) - {bad})
            total["lost"] += outcome.lost
            total["doubled"] += outcome.doubled
    passed = total["isolated"] == len(acts) and total["certified"] == len(acts) * (inputs - 1)
    return total | {"passed": passed and not (total["lost"] or total["doubled"])}


def fairness(*, shards: int, seconds: float) -> Figures:
    """9. A fills the queue, B asks for one thing and is begun before A has got one more part for each worker; two who are busy
    get half of the work each, by the certificates that they have got.

    Both are busy from the moment on at which what they have used before is forgotten: who has had less in the last hour is
    served first until that is made good, and A's head start would be most of B's window.
    """
    with house("postgresql") as here:
        given = [(here.light_job(shards // 20 * 4, shards // 20, seed=job, tenant="A"), job) for job in range(20)]
        for _ in range(WORKERS):
            here.worker(PROOF_CHILD="light", PROOF_PACE="0.02")
        until(lambda: here.claims("A") > 10, 60.0)
        ahead = _ahead_of_b(here)
        for job in range(5):
            given += [(here.light_job(shards * 4, shards, seed=job, tenant=tenant), job) for tenant in "BA"]
        with here.database.write() as session:
            session.query(DeviceTime).delete()
        before = [here.certified(tenant) for tenant in "AB"]
        time.sleep(seconds)
        done = [here.certified(tenant) - had for tenant, had in zip("AB", before, strict=True)]
        for process in list(here.processes):
            here.kill(process)
        outcomes = [here.compared(job_id, None, light(seed)) for job_id, seed in given]
    harm = {name: sum(getattr(outcome, name) for outcome in outcomes) for name in ("lost", "doubled", "differing")}
    share = max(done) / sum(done)
    kept = ahead <= WORKERS and abs(share - 0.5) <= 0.05 and not any(harm.values())
    return {"ahead_of_b": ahead, "larger_share": round(share, 3), "certificates": sum(done)} | harm | {"passed": kept}


def _ahead_of_b(here: House) -> int:
    """How many parts of A's are claimed between B's submission and the first lease of it."""
    job_id = here.light_job(4, 1, tenant="B")
    before = here.claims("A")
    until(lambda: here.state(job_id) != jobs.QUEUED, 60.0, pause=0.005)
    return here.claims("A") - before


def submissions(*, count: int) -> Figures:
    """10. Submissions with one fresh Idempotency-Key, all at once, make one job, and each is answered with it; other bodies
    under the key are refused afterwards."""
    total = dict.fromkeys(("submissions", "jobs", "other_answers", "other_body_422", "lost", "doubled"), 0)
    for kind in KINDS:
        with house(kind) as here, here.api() as address:
            body = here.certify_body()
            answers = _at_once(address, [body] * count)
            others = _at_once(address, [body | {"n": 2_000 + number} for number in range(count // 10)])
            with here.database.read() as session:
                made = list(session.scalars(select(Job.id).where(Job.kind == "certify")))
            total["submissions"] += count
            total["jobs"] += len(made)
            total["other_answers"] += sum(answer not in [(202, job_id) for job_id in made] for answer in answers)
            total["other_body_422"] += [status for status, _ in others].count(422)
            total["lost"] += not made
            total["doubled"] += max(0, len(made) - 1)
    refused = total["other_body_422"] == len(KINDS) * (count // 10)
    return total | {"passed": total["jobs"] == len(KINDS) and refused and not total["other_answers"]}


def _at_once(address: str, bodies: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Submits all of them under one key when every sender is ready; status and job of each answer."""
    gate = threading.Barrier(len(bodies))

    def send(body: dict[str, Any]) -> tuple[int, str]:
        with httpx.Client(timeout=60, headers={"Idempotency-Key": "one"}) as client:
            gate.wait(60)
            answer = client.post(f"{address}/v1/jobs", json=body)
            return answer.status_code, answer.json().get("id", "")

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(send, bodies))


def poisoned(here: House, inputs: int, bad: int, act: str) -> str:
    """A real job over small grey images, one of which is white: the network's code cannot bear it."""
    folder = here.folder / "nets"
    folder.mkdir(exist_ok=True)
    (folder / "poisoned_nets.py").write_text(BUILDERS)
    (folder / "nets.toml").write_text(POISON_ROWS)
    here.settings = here.settings.model_copy(update={"architectures": folder / "nets.toml"})
    images = np.full((inputs, 1, 4, 4), 60, dtype=np.uint8)
    images[bad] = 255
    return here.made_job(images, NETWORK[act], n0=10, n=40)
