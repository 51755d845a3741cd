"""Whether a file of a given size may and can be stored."""

from radii.service.errors import DiskFull, TooLarge
from radii.worker.settings import Settings
from radii.worker.store.blobs import blob_files


def check_size(size: int, settings: Settings) -> None:
    """Raises :class:`TooLarge`."""
    if size > settings.max_upload:
        raise TooLarge(expected=f"an upload of at most {settings.max_upload} bytes", got=f"{size} bytes or more")


def check_room(size: int, settings: Settings, why: str = "") -> None:
    """Raises :class:`DiskFull` if ``size`` bytes would not leave ``min_free`` bytes; ``why`` says what needs them."""
    free = blob_files.free_bytes(settings.blobs)
    if free - size < settings.min_free:
        raise DiskFull(
            expected=f"room for {size} bytes{why} in addition to the {settings.min_free} bytes that stay free",
            got=f"{free} free bytes",
        )
