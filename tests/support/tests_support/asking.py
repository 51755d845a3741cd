"""Requests for predictions, and the worker that has them."""

from typing import Any

import httpx

from radii.worker.store import shards
from radii.worker.store.shards import Claim
from tests_support import pictures
from tests_support.over_http import Service

URL = "/v1/predictions"
PNG = pictures.png(pictures.RAMP)
SHORT: dict[str, Any] = {"wait": 0}


def ask(service: Service, body: bytes = PNG, *, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
    query = {"checkpoint": query.pop("checkpoint", None) or service.checkpoint(), **SHORT, **query}
    return service.client.post(
        URL, content=body, params=query, headers={"Content-Type": "image/png", **(headers or {})}
    )


def claimed(service: Service) -> Claim:
    found = service.claim()
    assert found is not None
    return found


def end(service: Service, claim: Claim) -> None:
    with service.database.write() as session:
        shards.finish(session, claim)
