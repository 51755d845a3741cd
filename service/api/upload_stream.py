"""Taking a stream of bytes into the blob folder: in bounded memory, and with nothing left behind when it fails.

The digest of RFC 9530 (``Content-Digest: sha-256=:...:``) is checked where it is given.
"""

import base64
import binascii
import re
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from anyio import to_thread
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from radii.rs_core.errors import BeyondStorage, StorageUsedUp
from radii.service.api.uploads_in_progress import ActiveUpload
from radii.service.errors import DigestMismatch, InvalidRequest, UnsupportedMedia
from radii.service.jobs.disk_space import check_room, check_size
from radii.service.limits.request_turns import waiting
from radii.service.lookup import shown
from radii.worker.settings import Settings
from radii.worker.store.blobs import blob_files
from radii.worker.store.blobs.blob_files import SealedBlob, Writer

Stored = TypeVar("Stored")

PIECE = 2**20
"""Bytes that are written at once."""
SLOW = 16 * 2**20
"""Bytes of an upload that a slow disk takes long to write."""
AHEAD = 64 * 2**20
"""An upload of unknown size is charged in steps of this many bytes, so that not every chunk queries the database."""

_SHA256 = re.compile(r"sha-256\s*=\s*:([^:]*):")


async def take(
    request: Request,
    settings: Settings,
    content_digest: str | None,
    store: Callable[[SealedBlob], Stored],
    most: int | None = None,
    arriving: ActiveUpload | None = None,
) -> Stored:
    """Writes the body to the disk, then calls ``store`` with it in a thread; ``most``: bytes that it may have, where that
    is less than the settings allow. ``arriving`` is charged for what is announced, or else for what comes.

    Raises :class:`UnsupportedMedia`, :class:`TooLarge`, :class:`DiskFull`, :class:`DigestMismatch`, OSError, and what
    :meth:`ActiveUpload.expect` raises.
    """
    announced = announced_digest(content_digest)
    if most is not None:
        settings = settings.model_copy(update={"max_upload": min(most, settings.max_upload)})
    size = _check_headers(request.headers, settings)
    if arriving is not None:
        await run_in_threadpool(arriving.expect, size)
    with blob_files.writing(settings.blobs) as writer:
        async for piece in _pieces(request.stream()):
            await run_in_threadpool(_write, writer, piece, settings, arriving)
        sealed = await _sealed(request, writer)
        if announced is not None and announced != sealed.sha256:
            raise DigestMismatch(
                expected=f"bytes of SHA-256 {announced}, as Content-Digest says",
                got=f"bytes of SHA-256 {sealed.sha256}",
            )
        return await run_in_threadpool(store, sealed)


async def _sealed(request: Request, writer: Writer) -> SealedBlob:
    """The file, made durable. Other requests of the tenant are worked on while a large one is written to the disk; small ones of
    one tenant are written one after the other, so that they do not keep the disk from everybody else."""
    if writer.size < SLOW:
        return await run_in_threadpool(writer.seal)
    async with waiting():
        return await to_thread.run_sync(writer.seal, limiter=request.app.state.sealing)


def announced_digest(header: str | None) -> str | None:
    """The SHA-256 (hex) in a ``Content-Digest`` header; None where it names none. Other algorithms are ignored."""
    found = _SHA256.search(header or "")
    if found is None:
        return None
    try:
        digest = base64.b64decode(found[1], validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32:
        expected = "sha-256=:BASE64: with 32 bytes in base64"
        raise InvalidRequest(expected=expected, got=shown(header or ""), where="Content-Digest")
    return digest.hex()


def _check_headers(headers: Headers, settings: Settings) -> int:
    """What can be refused before the first byte; the bytes that are announced, 0 where none are."""
    media_type = headers.get("content-type", "")
    if media_type.lower().startswith("multipart/"):
        raise UnsupportedMedia(
            expected="the file's bytes as the request's body (application/octet-stream)", got=shown(media_type)
        )
    length = headers.get("content-length", "")
    if not length.isdecimal():
        return 0
    size = int(length[:20])
    check_size(size, settings)
    check_room(size, settings)
    return size


async def _pieces(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in fewer pieces."""
    held = bytearray()
    async for part in stream:
        held += part
        if len(held) >= PIECE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _write(writer: Writer, piece: bytes, settings: Settings, arriving: ActiveUpload | None) -> None:
    size = writer.size + len(piece)
    check_size(size, settings)
    check_room(len(piece), settings)
    if arriving is not None and size > arriving.size:
        _charge(arriving, size)
    writer.write(piece)


def _charge(arriving: ActiveUpload, size: int) -> None:
    """Charges for what has come of an upload of unknown size, and for a little more, if that fits."""
    try:
        arriving.expect(size + AHEAD if size > AHEAD else size)
    except (BeyondStorage, StorageUsedUp):
        arriving.expect(size)
