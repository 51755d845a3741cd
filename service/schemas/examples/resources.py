"""Examples of the OpenAPI document: files, datasets, checkpoints, jobs and the state of the service.

Requests by operation and title; responses by operation, status and media type.
"""

from typing import Any

from radii.service.schemas.examples.objects import (
    CANCELLED_JOB,
    CERTIFICATE,
    CERTIFICATE_CSV,
    CERTIFY_JOB,
    CERTIFY_SPEC,
    CHECKPOINT,
    CHECKPOINT_PENDING,
    CORRUPT,
    DATASET,
    DATASET_PENDING,
    EPOCH,
    EVENT_STREAM,
    JSON,
    LENET,
    PART_UPLOAD,
    PLAN,
    PREDICT_SPEC,
    PREDICTION,
    PREDICTION_CSV,
    PRESET,
    PRESET_REQUEST,
    REPORT,
    SHA256,
    SOFT_LABEL_SPEC,
    TRAIN_REQUEST,
    UPLOAD_ANSWER,
)

TEXT = "text/plain"

REQUESTS: dict[str, dict[str, Any]] = {
    "begin_upload": {"a large file": {"name": "imagenet.zip", "size": 60_000_000, "sha256": SHA256}},
    "create_dataset": {
        "from an upload": {"name": "digits", "files": ["digits.npz"]},
        "built in": {"name": "digits", "builtin": "digits"},
        "corrupted images": {"name": "digits, corrupted", "corrupt": CORRUPT},
    },
    "create_checkpoint": {
        "a state dict": {
            "name": "digits under noise 0.25",
            "file": "model.pt",
            "architecture": "digits_cnn",
            "num_classes": 10,
            "input_shape": [1, 8, 8],
            "normalization": "none",
            "sigma": 0.25,
        },
        "a file that says what it is": {"name": "digits under noise 0.25", "file": "model.safetensors"},
        "an ensemble of checkpoints": {"name": "both", "compose": {"kind": "ensemble", "parts": [LENET, LENET]}},
        "a mix of two": {
            "name": "mixed",
            "compose": {"kind": "mixed", "parts": [LENET, LENET], "robust_weight": 0.76, "standard_scale": 2},
        },
    },
    "create_job": {
        "train": TRAIN_REQUEST,
        "train from a preset": PRESET_REQUEST,
        "certify": CERTIFY_SPEC,
        "predict": PREDICT_SPEC,
        "soft labels": SOFT_LABEL_SPEC,
        "check only": CERTIFY_SPEC | {"validate_only": True, "budget_seconds": 600},
    },
}


def _page(item: Any) -> dict[str, Any]:
    return {"items": [item], "next_cursor": None}


RESPONSES: dict[tuple[str, int, str], Any] = {
    ("put_upload", 201, JSON): UPLOAD_ANSWER,
    ("begin_upload", 201, JSON): PART_UPLOAD,
    ("begin_upload", 200, JSON): PART_UPLOAD | {"missing": [3]},
    ("get_part_upload", 200, JSON): PART_UPLOAD | {"missing": [3]},
    ("put_part", 200, JSON): {"number": 2, "size": 16_777_216, "sha256": SHA256},
    ("complete_upload", 200, JSON): UPLOAD_ANSWER,
    ("list_uploads", 200, JSON): _page(UPLOAD_ANSWER),
    ("get_upload", 200, JSON): UPLOAD_ANSWER,
    ("get_blob", 200, "application/octet-stream"): "the bytes of the file",
    ("create_dataset", 202, JSON): DATASET_PENDING,
    ("list_datasets", 200, JSON): _page(DATASET | {"class_names": None}),
    ("get_dataset", 200, JSON): DATASET,
    ("create_checkpoint", 202, JSON): CHECKPOINT_PENDING,
    ("list_dataset_class_names", 200, JSON): {"items": ["zero", "one", "two"], "next_cursor": None},
    ("list_checkpoint_class_names", 200, JSON): {"items": ["zero", "one", "two"], "next_cursor": None},
    ("list_checkpoints", 200, JSON): _page(CHECKPOINT | {"info": None}),
    ("get_checkpoint", 200, JSON): CHECKPOINT,
    ("list_architectures", 200, JSON): _page(
        {
            "name": "lenet",
            "source": "ours",
            "input_shape": [1, 28, 28],
            "channels": 1,
            "smallest_side": 1,
            "side_multiple": 1,
            "square": False,
            "description": "two 5x5 convolutions (20, 50) and two linear layers (500); MNIST and Fashion-MNIST",
            "reference": "LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998",
        }
    ),
    ("list_methods", 200, JSON): _page(
        {
            "name": "gaussian",
            "description": "Gaussian augmentation, Cohen et al. 2019",
            "reference": "Cohen et al., Certified Adversarial Robustness via Randomized Smoothing, 2019",
            "hyper_parameters": {
                "type": "object",
                "properties": {"name": {"const": "gaussian", "default": "gaussian"}},
            },
        }
    ),
    ("list_presets", 200, JSON): _page(PRESET),
    ("get_preset", 200, JSON): PRESET,
    ("create_job", 200, JSON): PLAN,
    ("create_job", 202, JSON): CERTIFY_JOB,
    ("stream_events", 200, "text/event-stream"): EVENT_STREAM,
    ("list_jobs", 200, JSON): _page(CERTIFY_JOB),
    ("get_job", 200, JSON): CERTIFY_JOB,
    ("cancel_job", 200, JSON): CANCELLED_JOB,
    ("cancel_job", 202, JSON): CERTIFY_JOB | {"state": "cancelling"},
    ("list_epochs", 200, JSON): {"items": [EPOCH]},
    ("list_certificates", 200, JSON): _page(CERTIFICATE),
    ("download_certificates", 200, "text/csv"): CERTIFICATE_CSV,
    ("download_certificates", 200, "text/tab-separated-values"): (
        "idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t0\t0\t0.799100\t1\t0:00:00.500000\n"
    ),
    ("download_certificates", 200, "application/x-ndjson"): '{"index": 0, "prediction": 0, "radius": 0.7991}\n',
    ("list_predictions", 200, JSON): _page(PREDICTION),
    ("download_predictions", 200, "text/csv"): PREDICTION_CSV,
    ("download_predictions", 200, "application/x-ndjson"): '{"index": 0, "prediction": null, "p_value": 0.31}\n',
    ("get_report", 200, JSON): REPORT,
    ("download_report", 200, JSON): REPORT,
    ("download_report", 200, "text/html"): "<!doctype html><title>Certification report</title>",
    ("download_report", 200, "text/csv"): "measure,at,value,low,high,count,inputs\nacr,,0.4913,,,,200\n",
    ("get_plot", 200, "image/png"): "the bytes of the picture",
    ("get_plot", 200, "image/svg+xml"): "<svg>the picture</svg>",
    ("get_health", 200, JSON): {"status": "ok"},
    ("get_readiness", 200, JSON): {
        "ready": True,
        "checks": {
            "database": {"ok": True, "detail": "sqlite answers", "needed": True},
            "workers": {"ok": True, "detail": "2 seen in the last 45 s", "needed": False},
        },
        "workers": [],
    },
    ("get_metrics", 200, TEXT): '# TYPE radii_jobs gauge\nradii_jobs{kind="certify",state="running"} 1.0\n',
    ("get_version", 200, JSON): {"version": "0.1.0", "schema_revision": "0001", "python": "3.11.9"},
}
