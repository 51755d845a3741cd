"""When a training run says where it stands, and when it is saved."""

import time

SECONDS_BETWEEN_RECORDS = 1.0


class TrainingTimer:
    """When the next record and the next snapshot are due."""

    def __init__(self, snapshot_seconds: float) -> None:
        self._snapshot_seconds = snapshot_seconds
        self._recorded = self._saved = time.monotonic()

    def record_due(self) -> bool:
        """Whether a second has passed since this was last true."""
        now = time.monotonic()
        if now - self._recorded < SECONDS_BETWEEN_RECORDS:
            return False
        self._recorded = now
        return True

    def snapshot_due(self) -> bool:
        """Whether the time between snapshots has passed since this was last true."""
        now = time.monotonic()
        if now - self._saved < self._snapshot_seconds:
            return False
        self._saved = now
        return True
