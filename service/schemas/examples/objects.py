"""Objects shown by the examples of the OpenAPI document: one session, from the upload of a dataset to its report."""

from typing import Any

JSON = "application/json"
DIGITS = "ds_0193c1a5d2f04b7f6a1c9e3d5b82"
LENET = "ckpt_0193c1a5e8107d20c4f1a9b35e66"
CONVERT = "job_0193c1a5d2f1a0b1c2d3e4f5a6b7"
CERTIFY = "job_0193c1a6021b0c1d2e3f4a5b6c7d"
PREDICT = "job_0193c1a6110a99aa88bb77cc66dd"
UPLOAD = "up_0193c1a5c0aa0f1e2d3c4b5a6978"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
CREATED = "2026-02-03T09:15:00Z"
STARTED = "2026-02-03T09:15:01Z"
FINISHED = "2026-02-03T09:18:20Z"

CERTIFY_SPEC: dict[str, Any] = {
    "kind": "certify",
    "checkpoint": LENET,
    "dataset": DIGITS,
    "inputs": {"start": 0, "step": 1, "count": 200},
    "sigma": 0.25,
    "sampling": "fixed",
    "radii": None,
    "bound": "one_sided",
    "noise": "gaussian",
    "guarantee": "per_input",
    "n0": 100,
    "n": 10_000,
    "alpha": 0.001,
    "precision": "fp32",
    "seed": 0,
    "batch_size": None,
}
OF_CERTIFY = ("sampling", "radii", "bound", "noise", "guarantee", "n0", "precision")
PREDICT_SPEC: dict[str, Any] = {name: CERTIFY_SPEC[name] for name in CERTIFY_SPEC if name not in OF_CERTIFY} | {
    "kind": "predict",
    "n": 1_000,
}
SOFT_LABEL_SPEC: dict[str, Any] = {
    "kind": "soft_labels",
    "checkpoint": LENET,
    "dataset": DIGITS,
    "inputs": {"start": 0, "step": 1, "count": 1_500},
    "n": 10_000,
    "augmentation": "none",
    "seed": 0,
}
TRAIN_REQUEST: dict[str, Any] = {
    "kind": "train",
    "dataset": DIGITS,
    "architecture": "digits_cnn",
    "sigma": 0.25,
    "epochs": 30,
    "batch_size": 128,
    "learning_rate": 0.05,
    "name": "digits under noise 0.25",
}

PRESET_REQUEST: dict[str, Any] = {
    "kind": "train",
    "preset": "cifar10/smoothmix/0.5",
    "dataset": DIGITS,
    "epochs": 10,
    "method": {"steps": 2},
}

EVENT_STREAM = f"""event: queued
data: {{"job": "{CERTIFY}", "seq": 0, "type": "queued", "created": "{CREATED}", "data": {{}}}}
id: 0

event: running
data: {{"job": "{CERTIFY}", "seq": 1, "type": "running", "created": "{CREATED}", "data": {{}}}}
id: 1

event: progress
data: {{"done": 12, "total": 400, "work_done": 121200, "work_total": 4040000}}

"""

UPLOAD_ANSWER = {"id": UPLOAD, "name": "digits.npz", "sha256": SHA256, "size": 118_204, "created": CREATED}
PART_UPLOAD: dict[str, Any] = {
    "id": "parts_0193c1a5c0aa0f1e2d3c4b5a6978",
    "name": "imagenet.zip",
    "size": 60_000_000,
    "part_size": 16_777_216,
    "parts": 4,
    "missing": [0, 1, 2, 3],
    "sha256": SHA256,
    "upload": None,
    "created": CREATED,
}
DATASET_PENDING: dict[str, Any] = {
    "id": DIGITS,
    "name": "digits",
    "state": "pending",
    "created": CREATED,
    "job": CONVERT,
    "source": {
        "format": None,
        "files": [{"name": "digits.npz", "sha256": SHA256}],
        "builtin": None,
        "class_names": None,
    },
}
DATASET: dict[str, Any] = DATASET_PENDING | {
    "state": "ready",
    "count": 1797,
    "shape": [1, 8, 8],
    "num_classes": 10,
    "class_names": [str(digit) for digit in range(10)],
    "content_hash": SHA256[::-1],
    "sha256": SHA256,
}
CORRUPT: dict[str, Any] = {
    "dataset": DIGITS,
    "corruptions": ["fog", "gaussian_noise"],
    "severities": [1, 3, 5],
    "inputs": {"start": 1397, "step": 1, "count": 100},
    "seed": 0,
}
CHECKPOINT_PENDING: dict[str, Any] = {
    "id": LENET,
    "name": "digits under noise 0.25",
    "state": "pending",
    "created": CREATED,
    "job": CONVERT,
    "source": {"files": [{"name": "model.pt", "sha256": SHA256}], "architecture": "digits_cnn"},
}
CHECKPOINT: dict[str, Any] = CHECKPOINT_PENDING | {
    "state": "ready",
    "architecture": "digits_cnn",
    "input_shape": [1, 8, 8],
    "num_classes": 10,
    "sigma": 0.25,
    "method": "gaussian",
    "sha256": SHA256,
}
PROGRESS: dict[str, Any] = {
    "done": 50,
    "total": 200,
    "unit": "inputs",
    "work_done": 505_000,
    "work_total": 2_020_000,
    "work_unit": "noise samples",
    "fraction": 0.25,
    "rate": 20_200.0,
    "eta_seconds": 75.0,
    "device_seconds": 25.0,
}
CERTIFY_JOB: dict[str, Any] = {
    "id": CERTIFY,
    "kind": "certify",
    "state": "running",
    "created": CREATED,
    "started": STARTED,
    "spec": CERTIFY_SPEC,
    "dataset": DIGITS,
    "checkpoint": LENET,
    "progress": PROGRESS,
    "summary": {
        "kind": "certify",
        "sampling": "fixed",
        "partial": True,
        "inputs_total": 200,
        "inputs_done": 50,
        "acr": 0.12,
        "acr_over_done": 0.48,
        "correct": 47,
        "abstained": 2,
        "at_cap": 11,
        "errors": 0,
        "certified_accuracy": [
            {"radius": 0.0, "count": 47, "certified_accuracy": 0.235, "certified_accuracy_over_done": 0.94},
            {"radius": 0.25, "count": 41, "certified_accuracy": 0.205, "certified_accuracy_over_done": 0.82},
        ],
    },
    "execution": {"batch_size": 1024, "device_type": "cpu", "precision": "fp32", "threads": 2},
    "links": {"self": f"/v1/jobs/{CERTIFY}", "report": f"/v1/jobs/{CERTIFY}/report"},
}
CANCELLED_JOB = CERTIFY_JOB | {"state": "cancelled", "finished": FINISHED}
PLAN = {
    "valid": True,
    "kind": "certify",
    "spec": CERTIFY_SPEC,
    "inputs": 200,
    "work": 2_020_000,
    "work_unit": "noise samples",
    "shards": 8,
    "estimated_seconds": 101.0,
}
CERTIFICATE = {
    "index": 0,
    "label": 0,
    "prediction": 0,
    "correct": True,
    "radius": 0.7991,
    "p_lower": 0.9993,
    "p_upper": None,
    "counts0": [100, *[0] * 9],
    "counts": [10_000, *[0] * 9],
    "at_cap": True,
    "n0": 100,
    "n": 10_000,
    "sigma": 0.25,
    "alpha": 0.001,
    "seed": 0,
    "sampling": "fixed",
    "bound": "one_sided",
    "noise": "gaussian",
    "precision": "fp32",
    "seconds": 0.5,
    "error": None,
}
PREDICTION = {
    "index": 0,
    "label": 0,
    "prediction": None,
    "correct": False,
    "p_value": 0.31,
    "counts": [480, 520, *[0] * 8],
    "n": 1_000,
    "sigma": 0.25,
    "alpha": 0.001,
    "seed": 0,
    "seconds": 0.05,
    "error": None,
}
EPOCH = {
    "epoch": 1,
    "steps": 12,
    "learning_rate": 0.05,
    "loss": 1.92,
    "terms": {"cross_entropy": 1.92},
    "accuracy": 0.41,
    "test_accuracy": None,
    "seconds": 0.8,
}
PRESET: dict[str, Any] = {
    "name": "cifar10/macer/0.5",
    "description": "CIFAR-10 under noise 0.5: MACER as Jeong et al. ran it",
    "source": "Jeong and Shin, jh-jeong/smoothing-consistency, EXPERIMENTS",
    "notes": {"method.weight": "disputed: one training command says 6, the others 4"},
    "uncertain": ["method.weight"],
    "published": 0.691,
    "where": "released logs, full test set",
    "spec": {
        "architecture": "cifar_resnet110",
        "normalization": "cifar10",
        "augmentation": "crop_flip",
        "sigma": 0.5,
        "epochs": 150,
        "batch_size": 256,
        "learning_rate": 0.1,
        "lr_step": 50,
        "method": {"name": "macer", "m": 16, "beta": 16.0, "margin": 8.0, "weight": 4.0, "deferred": False},
    },
}
REPORT: dict[str, Any] = {
    "job": {"id": CERTIFY, "kind": "certify", "state": "succeeded", "spec": CERTIFY_SPEC},
    "complete": True,
    "model": {"id": LENET, "name": "digits under noise 0.25", "sha256": SHA256, "architecture": "digits_cnn"},
    "dataset": {"id": DIGITS, "name": "digits", "content_hash": SHA256[::-1], "selection": CERTIFY_SPEC["inputs"]},
    "procedure": {"sigma": 0.25, "n0": 100, "n": 10_000, "alpha": 0.001, "seed": 0},
    "execution": CERTIFY_JOB["execution"],
    "provenance": {"report": {"radii": "0.1.0"}, "workers": [{"device": "CPU", "versions": {"torch": "2.14.1"}}]},
    "results": {"inputs": 200, "evaluated": 200, "acr": 0.4913, "abstention_rate": 0.03},
    "recompute": ["The class is the one most voted for in counts0, the lowest index where several are equal."],
}
CERTIFICATE_CSV = (
    "index,label,prediction,correct,radius,p_lower,p_upper,counts0,counts,n0,n,sigma,alpha,seed,"
    "sampling,bound,noise,precision,seconds,error\n"
    "0,0,0,1,0.7991,0.9993,,100 0,10000 0,100,10000,0.25,0.001,0,fixed,one_sided,gaussian,fp32,0.5,\n"
)
PREDICTION_CSV = (
    "index,label,prediction,correct,p_value,counts,n,sigma,alpha,seed,seconds,error\n"
    "0,0,-1,0,0.31,480 520,1000,0.25,0.001,0,0.05,\n"
)
