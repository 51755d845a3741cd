"""API keys: stored as hashes, shown once, and ended for good. What is kept of tenants for a while is forgotten after it."""

import threading

from sqlalchemy import select

from radii.worker.store import scheduling, shards, tenants
from radii.worker.store.clock import clock
from radii.worker.store.database import Database
from radii.worker.store.models.tables import DeviceTime, Idempotency


def test_a_key_opens_its_tenant_until_it_is_revoked(database: Database) -> None:
    with database.write() as session:
        assert not tenants.any_key(session)
        row, secret = tenants.create_key(session, "lab", "laptop")
        owner = tenants.tenant_of_key(session, secret)
        assert owner is not None and owner.name == "lab"
        assert tenants.any_key(session)
        assert tenants.revoke_key(session, row.id)
        assert tenants.tenant_of_key(session, secret) is None
        assert not tenants.revoke_key(session, row.id)
        assert not tenants.any_key(session)


def test_the_key_itself_is_not_stored(database: Database) -> None:
    with database.write() as session:
        row, secret = tenants.create_key(session, "lab", "laptop")
        assert secret.startswith("radii_") and len(secret) > 40
        assert secret not in {str(value) for value in vars(row).values()}


def test_a_wrong_key_is_nobodys(database: Database) -> None:
    with database.read() as session:
        assert tenants.tenant_of_key(session, "radii_guess") is None


def test_callers_at_once_get_the_same_tenant(database: Database) -> None:
    found: list[str] = []

    def ask() -> None:
        with database.write() as session:
            found.append(tenants.tenant(session, "lab").id)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1


def test_device_time_is_forgotten_when_nothing_compares_it_any_more(database: Database) -> None:
    with database.write() as session:
        tenant_id = tenants.tenant(session, "lab").id
        shards.charge(session, tenant_id, 5.0)
        now = session.scalar(select(DeviceTime.slice)) or 0
        hour = 3600 // scheduling.SLICE
        for hours in (1, 3, 30):
            session.add(DeviceTime(tenant_id=tenant_id, slice=now - hours * hour, seconds=1.0))
        session.flush()
        assert tenants.forget_device_time(session) == 2
        assert tenants.forget_device_time(session) == 0
        assert sorted(session.scalars(select(DeviceTime.slice))) == [now - hour, now]


def test_requests_are_known_again_for_a_day(database: Database) -> None:
    with database.write() as session:
        tenant_id = tenants.tenant(session, "lab").id
        for key, hours in (("young", 23), ("old", 25)):
            row = Idempotency(tenant_id=tenant_id, key=key, body_hash="h", resource_id="job_1")
            row.created = clock() - 3600 * hours  # type: ignore[assignment]
            session.add(row)
        session.flush()
        assert tenants.forget_requests(session) == 1
        assert list(session.scalars(select(Idempotency.key))) == ["young"]
