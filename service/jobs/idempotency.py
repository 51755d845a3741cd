"""``Idempotency-Key``: a repeated request makes nothing new and is answered with what the first one made.

The key's row is written in the transaction that makes the resource; its primary key lets one of two equal requests at
the same time through, and the other one finds what it made. After a day the key is forgotten (``store.tenants``).
"""

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from radii.rs_core.errors import RadiiError
from radii.service.errors import KeyReused
from radii.service.schemas.requests import HEADER_TEXT
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Idempotency

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=HEADER_TEXT,
        description="any text of your choice: a second request with it makes nothing new, for a day or until what it made is deleted",
    ),
]
REPLAYED = {"Idempotency-Replayed": "true"}


def once(
    database: Database, tenant_id: str, key: str | None, body: Any, make: Callable[[Session], str]
) -> tuple[str, bool]:
    """Runs ``make`` in a transaction, or finds what it made before; returns the identifier and whether it was found.

    ``body`` is the JSON-like request. Raises :class:`KeyReused` where the key came with another one.
    """
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    for attempt in (1, 2):
        try:
            with database.write() as session:
                if found := _found(session, tenant_id, key, digest):
                    return found, True
                made = make(session)
                if key is not None:
                    session.add(Idempotency(tenant_id=tenant_id, key=key, body_hash=digest, resource_id=made))
            return made, False
        except (IntegrityError, RadiiError):
            # An equal request was faster: its row is there now, and it may have taken what this one lacked (the last place of
            # a quota). A second time it is about something else.
            if key is None or attempt == 2:
                raise
    raise AssertionError


def came_before(session: Session, tenant_id: str, key: str | None) -> bool:
    """Whether the key has made something, of which request whatever."""
    return key is not None and session.get(Idempotency, (tenant_id, key)) is not None


def forget(session: Session, resource_id: str) -> None:
    """Lets go of the keys of something that is deleted."""
    session.execute(delete(Idempotency).where(Idempotency.resource_id == resource_id))


def _found(session: Session, tenant_id: str, key: str | None, digest: str) -> str | None:
    row = None if key is None else session.get(Idempotency, (tenant_id, key))
    if row is not None and row.body_hash != digest:
        raise KeyReused(
            expected="the request that this key came with first", got="another one", where="Idempotency-Key"
        )
    return row.resource_id if row else None
