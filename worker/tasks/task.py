"""A task as the child sees it: the shard's part of the job, and the blobs it needs, opened and kept warm."""

import math
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from radii.rs_core.certify.engine import Progress
from radii.rs_core.certify.inference_model import InferenceModel
from radii.rs_core.certify.mixed_inputs import voting
from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint import CheckpointInfo
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import open_dataset
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.runs.noise_run import NoiseRun
from radii.rs_core.runs.resolution import S
from radii.rs_core.specs.fields import AnyJob, Bound, Precision
from radii.worker.store.blobs import blob_files as blobs
from radii.worker.store.specifications import Plan, load_plan, load_spec

J = TypeVar("J", bound=AnyJob)

MODELS = 2
"""That stay loaded: that of a long job, and that of the urgent ones which it makes way for."""


@dataclass(frozen=True, kw_only=True)
class Task(Generic[J]):
    """One shard's work. ``todo`` are positions of the job's selection; ``done`` are inputs that have their result."""

    kind: str
    task: str
    spec: J
    execution: dict[str, Any]
    blobs: Path
    device: torch.device
    first: int
    stop: int
    done: frozenset[int]
    progress: list[dict[str, Any]] | None
    resume: dict[str, Any] | None
    files: dict[str, str]
    limits: dict[str, float]
    alone: bool = False
    turn: int = 0
    urgent: bool = False
    evidence: list[dict[str, Any]] | None = None
    recomputed: dict[str, Any] | None = None
    claim: str = ""
    records: str = ""
    keeps_votes: bool = False
    tuning: str | None = None
    may_compile: bool = False
    replies: "queue.SimpleQueue[dict[str, Any]]" = field(default_factory=queue.SimpleQueue)
    dataset_hash: str | None = None
    plan: Plan | None = None
    class_names: list[str] | None = None
    asked_to_stop: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def read(cls, body: dict[str, Any], device: torch.device) -> "Task[Any]":
        """The task out of a message."""
        fields = {name: body[name] for name in cls.__dataclass_fields__ if name in body}
        plan = body.get("plan")
        read = {"spec": load_spec(body["spec"]), "plan": None if plan is None else load_plan(plan)}
        made = {"device": device, "blobs": Path(body["blobs"]), "done": frozenset(body["done"])}
        return cls(**fields | read | made)

    def path(self, name: str) -> Path:
        """Where the named blob of the task lies (``dataset``, ``checkpoint``, ...)."""
        return blobs.local_path(self.blobs, self.files[name])

    def dataset(self, name: str = "dataset") -> Dataset:
        """The named data set, mapped from its blob."""
        return _dataset(self.path(name))

    def run(self: "Task[S]") -> NoiseRun[S]:
        """What a job on chosen inputs runs on; the part is the shard's."""
        return self.run_of(self.spec)

    def run_of(self, spec: S) -> NoiseRun[S]:
        """The same by another specification, as an audit has that of the audited job."""
        path, device = self.path("checkpoint"), str(self.device)
        model, info = _model(path, device)
        data = self.dataset()
        chosen = spec.inputs.indices(len(data))

        def prepare(bound: Bound, compiled: bool, batch_size: int) -> InferenceModel:
            return _prepared(path, device, bound, spec.precision, compiled, batch_size)

        return NoiseRun(
            spec=spec,
            model=model,
            num_classes=info.num_classes,
            data=data,
            chosen=chosen,
            part=chosen[self.first : self.stop],
            batch_size=self.execution.get("batch_size"),
            compiled=self.execution.get("compiled", False),
            forced=(self.resume or {}).get("rows"),
            done=dict.fromkeys(self.done, math.inf),
            unfinished=[Progress.of(body) for body in self.progress or ()],
            alone=self.alone,
            stop=self.asked_to_stop.is_set,
            prepare=prepare,
        )

    def settled(self, run: NoiseRun[Any]) -> Iterator[dict[str, Any]]:
        """Finds out how to run the model, where the job does not say yet: asks the loop what the job's workers have agreed
        on, with what was found here as a proposal, and takes the answer into the run."""
        if "compiled" in self.execution or next(run.inputs(), None) is None:
            return
        found = run.find_configuration(
            Path(self.tuning) if self.tuning else None,
            may_compile=self.may_compile,
            fixed=self.execution.get("batch_size"),
        )
        yield {"type": "tuned", "execution": {"batch_size": found.batch_size, "compiled": found.compiled}}
        while (reply := self.replies.get())["claim"] != self.claim:
            pass  # to a task before, which was stopped while it asked
        self.execution.update(reply["execution"])
        run.batch_size = self.execution.get("batch_size")
        run.compiled = self.execution.get("compiled", False)

    def last(self, **more: Any) -> dict[str, Any]:
        """The message that ends the shard: it is done, or was stopped on the way."""
        return {"type": "stopped"} if self.asked_to_stop.is_set() else {"type": "done", **more}


@lru_cache(maxsize=2)
def _dataset(path: Path) -> Dataset:
    return open_dataset(path)


@lru_cache(maxsize=MODELS)
def _prepared(
    path: Path, device: str, bound: Bound, precision: Precision, compiled: bool, batch_size: int
) -> InferenceModel:
    """The last models stay as they were prepared, and compiled for one size of batches."""
    model, _ = _model(path, device)
    return InferenceModel(voting(model, bound), precision=precision, compiled=compiled)


@lru_cache(maxsize=MODELS)
def _model(path: Path, device: str) -> tuple[BaseClassifier, CheckpointInfo]:
    """The last models stay loaded; the path is named by content, so an equal path is an equal model."""
    model, info = checkpoint.load(path)
    return model.to(device).eval(), info
