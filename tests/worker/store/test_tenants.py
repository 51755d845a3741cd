"""API keys: stored as hashes, shown once, and ended for good."""

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
