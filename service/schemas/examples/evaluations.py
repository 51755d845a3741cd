"""The examples of the OpenAPI document that are about evaluations, in the form of ``objects``."""

from typing import Any

from radii.service.schemas.examples.objects import DIGITS, JSON, LENET

ATTACK: dict[str, Any] = {
    "kind": "evaluate",
    "checkpoint": LENET,
    "dataset": DIGITS,
    "inputs": {"start": 0, "step": 1, "count": 200},
    "evaluation": {
        "name": "attack",
        "algorithm": "pgd",
        "epsilons": [0.0, 0.25, 0.5],
        "steps": 20,
        "m": 64,
        "n": 10_000,
    },
}
OVER_CONFIDENCE = ATTACK | {
    "evaluation": {"name": "over_confidence", "lengths": [0.0, 1.0, 2.0], "step_size": 0.1, "m": 16, "n": 1_000}
}
EVALUATED: dict[str, Any] = {
    "index": 0,
    "label": 0,
    "found": [
        {"point": 0.0, "distance": 0.0, "prediction": 0, "right": True, "counts": [9_960, 40, *[0] * 8]},
        {"point": 0.25, "distance": 0.25, "prediction": 1, "right": False, "counts": [3_100, 6_900, *[0] * 8]},
    ],
    "seed": 0,
    "seconds": 0.9,
    "error": None,
}

REQUESTS: dict[str, dict[str, Any]] = {"create_job": {"attack": ATTACK, "over-confidence": OVER_CONFIDENCE}}
RESPONSES: dict[tuple[str, int, str], Any] = {
    ("list_evaluations", 200, JSON): {"items": [EVALUATED], "next_cursor": None},
    ("download_evaluations", 200, "text/csv"): (
        "index,label,point,distance,prediction,right,counts,seed,seconds,error\n0,0,0.25,0.25,1,0,3100 6900,0,0.9,\n"
    ),
    ("download_evaluations", 200, "application/x-ndjson"): '{"index": 0, "label": 0, "found": [{"point": 0.25}]}\n',
}
