"""API keys: stored as hashes, shown once, and ended for good."""

import threading

from worker.store import tenants
from worker.store.session import Database


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
