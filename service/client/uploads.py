"""Sending a large file in parts: what has arrived is not sent again, whichever process goes on with it."""

import base64
import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from radii.service.client.errors import ApiError
from radii.service.client.http import HttpConnection
from radii.service.schemas.responses import PartUpload, Upload

LARGE = 64 * 2**20
"""Bytes from which on a file is sent in parts."""
TRIES = 3
"""Of completing, where parts were damaged on the way to the disk."""


def in_parts(
    http: HttpConnection, path: Path, name: str, progress: Callable[[int, int], object] | None = None
) -> Upload:
    """Sends the parts that the service has not got; ``progress`` is called with bytes there and bytes in all."""
    announced = {"name": name, "size": path.stat().st_size, "sha256": _sha256(path)}
    begun = PartUpload.model_validate_json(http.send("POST", "/v1/uploads", json=announced).content)
    base = f"/v1/uploads/{begun.id}"
    for tried in range(TRIES):
        _send_missing(http, path, begun, progress)
        try:
            return Upload.model_validate_json(http.send("POST", f"{base}/complete", patience=3600.0).content)
        except ApiError as error:
            begun = PartUpload.model_validate_json(http.send("GET", f"{base}/parts").content)
            if not begun.missing or tried == TRIES - 1:
                raise error from None
    raise AssertionError


def _send_missing(
    http: HttpConnection, path: Path, begun: PartUpload, progress: Callable[[int, int], object] | None
) -> None:
    left = len(begun.missing)
    with path.open("rb") as file:
        for number in begun.missing:
            file.seek(number * begun.part_size)
            part = file.read(begun.part_size)
            digest = base64.b64encode(hashlib.sha256(part).digest()).decode()
            headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{digest}:"}
            http.send(
                "PUT",
                f"/v1/uploads/{begun.id}/parts/{number}",
                content=lambda part=part: nullcontext(part),  # type: ignore[misc]
                headers=headers,
            )
            left -= 1
            if progress:
                progress(max(0, begun.size - left * begun.part_size), begun.size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
