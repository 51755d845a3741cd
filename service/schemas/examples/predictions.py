"""The examples of the OpenAPI document for predictions while one waits; a part of ``objects``."""

from typing import Any

from radii.service.schemas.examples.objects import JSON, LENET

ASKED = "job_0193c1a7300a12bc34de56f7a8b9"
ROW: list[float] = [0.0, 0.25, 0.5, 0.75, 1.0, 0.5, 0.25, 0.0]
PREDICTIONS: dict[str, Any] = {
    "job": ASKED,
    "state": "succeeded",
    "complete": True,
    "checkpoint": LENET,
    "images": 1,
    "sigma": 0.25,
    "n": 10_000,
    "alpha": 0.001,
    "seed": 5_120_693_417_824_551,
    "predictions": [
        {
            "index": 0,
            "prediction": 3,
            "class_name": "3",
            "abstained": False,
            "radius": 0.6012,
            "p_lower": 0.99192,
            "n0": 100,
            "n": 10_000,
            "counts0": [0, 0, 0, 100, 0, 0, 0, 0, 0, 0],
            "counts": [0, 4, 0, 9946, 0, 11, 0, 0, 39, 0],
            "at_cap": False,
            "seconds": 0.14,
            "error": None,
        }
    ],
    "problem": None,
    "warnings": [],
}
NOTHING_YET = PREDICTIONS | {"state": "queued", "complete": False, "predictions": []}

REQUESTS: dict[str, dict[str, Any]] = {"create_predictions": {"one greyscale image of 8x8 pixels": [[ROW] * 8]}}
RESPONSES: dict[tuple[str, int, str], Any] = {
    (operation, status, JSON): body
    for operation in ("create_predictions", "get_predictions")
    for status, body in ((200, PREDICTIONS), (202, NOTHING_YET))
}
