"""Uploads in progress: bytes that were announced or written and are not yet in the database.

They count for the tenant's storage quota, so that several uploads at once are refused before they fill the disk, not when the
last of them has arrived. Each process of the service counts its own. The final check runs in the transaction that stores the
upload's name (``store.storage_usage.require_within``), by a total that may be some seconds old (``store.storage_usage.RecentUsage``).
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from radii.worker.settings import Settings
from radii.worker.store import storage_usage
from radii.worker.store.database import Database


class ActiveUpload:
    """One upload on its way; ``size`` are the bytes that it is charged for."""

    def __init__(self, uploads: "ActiveUploads", tenant_id: str) -> None:
        self._uploads, self._tenant_id = uploads, tenant_id
        self.size = 0

    def expect(self, size: int) -> None:
        """Charges the upload for ``size`` bytes in all, if it is not charged for as many already.

        Raises:
            BeyondStorage: The tenant may never store that many.
            StorageUsedUp: They do not fit in addition to what there is.
        """
        if size > self.size:
            self._uploads.grow(self._tenant_id, self, size)


class ActiveUploads:
    """The uploads on their way to this process. Any thread may use it."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = defaultdict(int)
        self._parts: Counter[tuple[str, int]] = Counter()

    @contextmanager
    def sending(self, upload_id: str, number: int) -> Iterator[bool]:
        """Notes that a part is being sent, and says whether no other request is sending the same one."""
        part = upload_id, number
        with self._lock:
            self._parts[part] += 1
            alone = self._parts[part] == 1
        try:
            yield alone
        finally:
            with self._lock:
                self._parts[part] -= 1
                if not self._parts[part]:
                    del self._parts[part]

    @contextmanager
    def arriving(self, tenant_id: str) -> Iterator[ActiveUpload]:
        """An upload of the tenant, charged for nothing yet; it is no more on its way when the block ends."""
        upload = ActiveUpload(self, tenant_id)
        try:
            yield upload
        finally:
            with self._lock:
                self._sizes[tenant_id] -= upload.size
                if not self._sizes[tenant_id]:
                    del self._sizes[tenant_id]

    def size(self, tenant_id: str) -> int:
        """Bytes that all uploads of the tenant on their way are charged for."""
        with self._lock:
            return self._sizes.get(tenant_id, 0)

    def grow(self, tenant_id: str, upload: ActiveUpload, size: int) -> None:
        """See :meth:`ActiveUpload.expect`."""
        storage_usage.fit(self._settings, size)
        with self._lock:
            others = self._sizes[tenant_id] - upload.size
            self._sizes[tenant_id] += size - upload.size
            before, upload.size = upload.size, size
        try:
            with self._database.read() as session:
                storage_usage.require(session, tenant_id, self._settings, size, in_flight=others)
        except BaseException:
            with self._lock:
                self._sizes[tenant_id] -= size - before
                upload.size = before
            raise
