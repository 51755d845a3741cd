"""What a commit writes, and that a transaction that has to be begun again writes all of it."""

from pathlib import Path
from typing import Any

import pytest
from tests_support.slots import START, notes, submit

from radii.worker.commit import PendingResults, write
from radii.worker.kinds.certify import CERTIFY
from radii.worker.settings import Settings
from radii.worker.store import counters, shards
from radii.worker.store.database import Database
from radii.worker.store.shards import Claim


def _claimed(database: Database) -> Claim:
    with database.write() as session:
        claim = shards.claim(session, lease=60.0, device_type="cpu", execution={"precision": "fp32"}, provenance={})
    assert claim is not None
    return claim


def _certificate(index: int, batch_size: int | None) -> dict[str, Any]:
    evidence = {
        "index": index,
        "label": 7,
        "prediction": 7,
        "radius": 0.1,
        "p_lower": 0.9,
        "seconds": 0.1,
        "error": None,
    }
    evidence |= {"counts0": [0] * 7 + [10], "counts": [0] * 7 + [100], "batch_size": batch_size}
    return {"type": "record", **evidence, "n0": 10, "n": 100, "sigma": 0.25, "alpha": 0.001, "seed": 0}


def test_a_smaller_batch_is_told_of_once_though_the_transaction_had_to_be_begun_again(
    database: Database, tmp_path: Path
) -> None:
    job_id, settings, pending = submit(database, tmp_path, 4), Settings(data=tmp_path), PendingResults(kind=CERTIFY)
    claim = _claimed(database)
    pending.add(_certificate(START, 50))
    with pytest.raises(KeyError), database.write() as session:
        write(session, settings, claim, pending, 0.1)
        raise KeyError("the line was cut before the commit")
    for index, batch_size in ((START, 50), (START + 1, 50), (START + 2, 25), (START + 3, None)):
        if index > START:
            pending.add(_certificate(index, batch_size))
        with database.write() as session:
            write(session, settings, claim, pending, 0.1)
        pending = pending.emptied()
    assert notes(database, job_id) == [
        ("smaller_batch", {"shard": claim.number, "batch_size": 50}),
        ("smaller_batch", {"shard": claim.number, "batch_size": 25}),
    ]
    with database.read() as session:
        assert counters.values(session)[counters.BATCHES_HALVED] == 2
