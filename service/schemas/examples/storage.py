"""Examples of the OpenAPI document: storage."""

from typing import Any

from radii.service.schemas.examples.objects import CREATED, JSON

COUNTS = {
    "uploads": (2, 118_204, 1_000),
    "part_uploads": (1, 150_000_000_000, 1_000),
    "datasets": (2, 259_704, 1_000),
    "checkpoints": (1, 4_803_112, 1_000),
    "predictions": (0, 0, None),
    "soft_labels": (0, 0, None),
    "snapshots": (0, 0, None),
    "results": (3, 98_304, None),
    "expected_outputs": (0, 0, None),
}
USED = sum(size for _, size, _ in COUNTS.values())
QUOTA = 256 * 2**30
USAGE: dict[str, Any] = {
    "used": USED,
    "quota": QUOTA,
    "free": QUOTA - USED,
    "kinds": [
        {"kind": kind, "count": count, "bytes": size, "most": most} for kind, (count, size, most) in COUNTS.items()
    ],
    "unfinished_uploads": [
        {
            "id": "parts_0193c1a5b1aa0f1e2d3c4b5a6978",
            "name": "imagenet.zip",
            "size": 150_000_000_000,
            "created": CREATED,
        }
    ],
}
RESPONSES: dict[tuple[str, int, str], Any] = {("get_usage", 200, JSON): USAGE}
