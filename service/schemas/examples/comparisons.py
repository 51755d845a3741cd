"""The OpenAPI document's examples of comparisons and published results; the session that they belong to is in ``objects``."""

from typing import Any

from radii.service.schemas.examples.objects import CERTIFY, CERTIFY_SPEC, DIGITS, JSON, LENET, SHA256

SECOND = "job_0193c1a70b1f2e3d4c5b6a79881f"
PUBLISHED: dict[str, Any] = {
    "name": "cifar10/smoothmix/0.5",
    "dataset": "CIFAR-10",
    "architecture": "cifar_resnet110",
    "method": "SmoothMix",
    "sigma": 0.5,
    "inputs": 10_000,
    "acr": 0.715,
    "certified_accuracy": [{"radius": 0.0, "percent": 65.0}, {"radius": 0.25, "percent": 56.7}],
    "source": "table of the SmoothMix slides (Jeong et al., NeurIPS 2021)",
    "note": "disputed: the released log, of another run, gives 0.712; the row as printed has no log",
}
POINT = {"radius": 0.25, "count": 164, "certified_accuracy": 0.82, "low": 0.7596, "high": 0.8706}
FIGURES: dict[str, Any] = {
    "inputs": 200,
    "units": 200,
    "evaluated": 200,
    "acr": 0.4913,
    "certified_accuracy": [POINT],
    "abstained": 6,
}
TEST: dict[str, Any] = {
    "radius": 0.25,
    "both": 150,
    "only_run": 14,
    "only_baseline": 3,
    "neither": 33,
    "difference": 0.055,
    "p_value": 0.0127,
    "p_holm": 0.0127,
}
COMPARISON: dict[str, Any] = {
    "sources": [
        {
            "name": name,
            "job": job,
            "state": "succeeded",
            "model": {"id": LENET, "name": name, "sha256": SHA256},
            "dataset": {"id": DIGITS, "name": "digits", "content_hash": SHA256[::-1]},
            "procedure": {field: CERTIFY_SPEC[field] for field in ("sigma", "sampling", "n0", "n", "alpha", "seed")},
        }
        for name, job in (("digits under noise 0.25", CERTIFY), ("digits by SmoothMix", SECOND))
    ],
    "results": {
        "radii": [0.25],
        "shared": 200,
        "unit": "input",
        "units": 200,
        "baseline": "digits under noise 0.25",
        "runs": [
            {"name": name, "procedure": "fixed n", "own": FIGURES, "shared": FIGURES}
            for name in ("digits under noise 0.25", "digits by SmoothMix")
        ],
        "pairs": [
            {
                "run": "digits by SmoothMix",
                "baseline": "digits under noise 0.25",
                "acr": {"difference": 0.0312, "low": 0.0121, "high": 0.0507, "method": "bootstrap"},
                "tests": [TEST],
            }
        ],
        "tests": 1,
        "published": [],
        "notes": ["Tests: 1 exact two-sided McNemar tests, each over the 200 shared inputs at one radius."],
    },
}

RESPONSES: dict[tuple[str, int, str], Any] = {
    ("list_published", 200, JSON): {"items": [PUBLISHED], "next_cursor": None},
    ("get_published", 200, JSON): PUBLISHED,
    ("compare", 200, JSON): COMPARISON,
    ("download_comparison", 200, JSON): COMPARISON,
    ("download_comparison", 200, "text/html"): "<!doctype html><title>Comparison of 2 runs</title>",
    ("download_comparison", 200, "text/csv"): (
        "measure,run,baseline,at,value,low,high,count,inputs\nacr,digits under noise 0.25,,,0.4913,,,,200\n"
    ),
    ("get_comparison_plot", 200, "image/png"): "the bytes of the picture",
    ("get_comparison_plot", 200, "image/svg+xml"): "<svg>the picture</svg>",
}
