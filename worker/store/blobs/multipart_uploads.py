"""Uploads that come in parts: any order, any number of requests, any number of days within the uploads' lifetime.

A part is a file of its own, which gets its name once all of its bytes are on the disk, so that a part is there whole or not
at all; the row that counts it comes after. When all are there, they are copied into one blob, piece by piece, and every part
is compared with its hash on the way. Functions take a session and never commit.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from radii.worker.store.blobs.blob_files import SealedBlob, Writer
from radii.worker.store.clock import instant
from radii.worker.store.database import Database, new_id
from radii.worker.store.models.tables import PartUpload, Upload, UploadPart

PART_SIZE = 16 * 2**20
MOST_PARTS = 10_000
PIECE = 2**20


@dataclass(frozen=True, kw_only=True)
class DamagedParts(Exception):
    """Parts whose bytes on the disk are not those that came."""

    numbers: tuple[int, ...]


def begin(session: Session, tenant_id: str, name: str, size: int, sha256: str | None) -> tuple[PartUpload, bool]:
    """A new upload in parts, or the tenant's one of the same name, size and hash, and whether it is new. It may be complete:
    then the answer to that was lost."""
    if sha256 is not None:
        same = select(PartUpload).where(
            PartUpload.tenant_id == tenant_id,
            PartUpload.name == name,
            PartUpload.size == size,
            PartUpload.sha256 == sha256,
            or_(PartUpload.upload_id.is_(None), select(Upload.id).where(Upload.id == PartUpload.upload_id).exists()),
        )
        if (found := session.scalars(same.order_by(PartUpload.id.desc()).limit(1)).first()) is not None:
            return found, False
    most = -(-size // MOST_PARTS)
    part_size = max(PART_SIZE, -(-most // PIECE) * PIECE)
    row = PartUpload(id=new_id("parts"), tenant_id=tenant_id, name=name, size=size, part_size=part_size, sha256=sha256)
    session.add(row)
    session.flush()
    return row, True


def count_of(upload: PartUpload) -> int:
    """How many parts there are to be."""
    return -(-upload.size // upload.part_size)


def size_of(upload: PartUpload, number: int) -> int:
    """Bytes of one part."""
    return min(upload.part_size, upload.size - number * upload.part_size)


def missing(session: Session, upload: PartUpload) -> list[int]:
    """The parts that have not come, in order."""
    there = set(session.scalars(select(UploadPart.number).where(UploadPart.part_upload_id == upload.id)))
    return [number for number in range(count_of(upload)) if number not in there]


def add(session: Session, root: Path, upload_id: str, number: int, sealed: SealedBlob) -> None:
    """Gives a part's file its name, in place of an earlier one, and counts it."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(UploadPart).values(part_upload_id=upload_id, number=number, sha256=sealed.sha256)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["part_upload_id", "number"], set_={"sha256": statement.excluded.sha256}
        )
    )
    target = path_of(root, upload_id, number)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(sealed.path, target)


def forget(session: Session, upload_id: str) -> None:
    """Lets go of the parts, or of the whole upload where it is not complete. The files go with :func:`remove`."""
    session.execute(delete(UploadPart).where(UploadPart.part_upload_id == upload_id))
    session.execute(delete(PartUpload).where(PartUpload.id == upload_id, PartUpload.upload_id.is_(None)))


def remove(root: Path, upload_id: str) -> None:
    """Deletes the files of parts that were let go of, in no transaction: they may be many. What stays after a crash goes with
    :func:`clean`."""
    shutil.rmtree(_folder(root, upload_id), ignore_errors=True)


def drop(session: Session, upload_id: str, numbers: tuple[int, ...]) -> None:
    """Counts these parts as missing again."""
    session.execute(delete(UploadPart).where(UploadPart.part_upload_id == upload_id, UploadPart.number.in_(numbers)))


def join(root: Path, upload_id: str, hashes: list[str], writer: Writer) -> None:
    """Copies the parts, whose hashes are given in order, one after the other. Raises :class:`DamagedParts`."""
    damaged = []
    for number, sha256 in enumerate(hashes):
        digest = hashlib.sha256()
        for piece in _pieces(path_of(root, upload_id, number)):
            digest.update(piece)
            writer.write(piece)
        if digest.hexdigest() != sha256:
            damaged.append(number)
    if damaged:
        raise DamagedParts(numbers=tuple(damaged))


def hashes(session: Session, upload_id: str) -> list[str]:
    """Of the parts that are there, in order."""
    return list(
        session.scalars(
            select(UploadPart.sha256).where(UploadPart.part_upload_id == upload_id).order_by(UploadPart.number)
        )
    )


def expire(session: Session, ttl: float) -> int:
    """Forgets uploads in parts that are older than ``ttl`` seconds; returns how many. Their folders go with :func:`clean`."""
    old = session.execute(delete(PartUpload).where(PartUpload.created < instant() - ttl).returning(PartUpload.id))
    return len(old.all())


def clean(database: Database, root: Path) -> None:
    """Deletes the folders of parts that no unfinished upload has, in no transaction: they may be large. A folder is made
    after its row, so that the rows of all that were seen are there."""
    folders = list((root / "parts").glob("*"))
    with database.read() as session:
        known = set(session.scalars(select(PartUpload.id).where(PartUpload.upload_id.is_(None))))
    for folder in folders:
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)


def path_of(root: Path, upload_id: str, number: int) -> Path:
    """Where a part lies."""
    return _folder(root, upload_id) / str(number)


def _folder(root: Path, upload_id: str) -> Path:
    return root / "parts" / upload_id


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
    except FileNotFoundError:
        return  # its hash will not be that of no bytes
