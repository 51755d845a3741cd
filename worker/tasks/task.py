"""A task as the child sees it: the shard's part of the job, and the blobs it needs, opened and kept warm."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from radii.rs_core.certify.autotune import configuration_for
from radii.rs_core.certify.engine import Input, Progress
from radii.rs_core.certify.inference_model import InferenceModel
from radii.rs_core.certify.mixed_inputs import Standard, standard_of, voting
from radii.rs_core.certify.procedure import USUAL_SAVING, Procedure, procedure_of
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.checkpoints import checkpoint
from radii.rs_core.checkpoints.checkpoint import CheckpointInfo
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import open_dataset
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.specs.fields import Bound, Precision
from radii.rs_core.specs.jobs import DEFAULT_BATCH, CertifySpec, Selection, parse_spec
from radii.worker.store.blobs import blob_files as blobs

MODELS = 2
"""That stay loaded: that of a long job, and that of the urgent ones which it makes way for."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One shard's work. ``todo`` are positions of the job's selection; ``done`` are inputs that have their result."""

    kind: str
    spec: dict[str, Any]
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
    tuning: str | None = None
    may_compile: bool = False
    replies: "queue.SimpleQueue[dict[str, Any]]" = field(default_factory=queue.SimpleQueue)
    dataset_hash: str | None = None
    asked_to_stop: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def read(cls, body: dict[str, Any], device: torch.device) -> "Task":
        """The task out of a message."""
        fields = {name: body[name] for name in cls.__dataclass_fields__ if name in body}
        return cls(**fields | {"device": device, "blobs": Path(body["blobs"]), "done": frozenset(body["done"])})

    def path(self, name: str) -> Path:
        """Where the named blob of the task lies (``dataset``, ``checkpoint``, ...)."""
        return blobs.local_path(self.blobs, self.files[name])

    def dataset(self, name: str = "dataset") -> Dataset:
        """The named data set, mapped from its blob."""
        return _dataset(self.path(name))

    def inputs(self) -> Iterator[Input]:
        """The shard's inputs that have no result yet."""
        data = self.dataset()
        chosen = Selection(**self.spec["inputs"]).indices(len(data))[self.first : self.stop]
        for index in chosen:
            if index not in self.done:
                yield index, data.image(index), int(data.labels[index])

    def settled(self) -> Iterator[dict[str, Any]]:
        """Finds out how to run the model, where the job does not say yet: asks the loop what the job's workers have agreed
        on, with what was found here as a proposal, and takes the answer into ``execution``."""
        first = next(self.inputs(), None)
        if "compiled" in self.execution or first is None:
            return
        _, image, _ = first
        model, info = _model(self.path("checkpoint"), str(self.device))
        configuration = configuration_for(
            voting(model, self.bound),
            self._shown(image).to(self.device),
            info.num_classes,
            name=info.architecture,
            precision=self.spec.get("precision", "fp32"),
            samples=self._samples(),
            batch_size=self.execution.get("batch_size"),
            may_compile=self.may_compile,
            file=Path(self.tuning) if self.tuning else None,
        )
        yield {
            "type": "tuned",
            "execution": {"batch_size": configuration.batch_size, "compiled": configuration.compiled},
        }
        while (reply := self.replies.get())["claim"] != self.claim:
            pass  # to a task before, which was stopped while it asked
        self.execution.update(reply["execution"])

    def _samples(self) -> int:
        """About how many noise samples the whole job will draw."""
        inputs = len(Selection(**self.spec["inputs"]).indices(len(self.dataset())))
        return round(inputs * int(self.spec["n"]) / USUAL_SAVING[self.spec.get("sampling", "fixed")])

    def _shown(self, image: torch.Tensor) -> torch.Tensor:
        """What the model is shown of an image, as far as its shape goes."""
        side = self.spec.get("crop_size")
        return image if side is None else torch.zeros(image.shape[0], side, side)

    @property
    def bound(self) -> Bound:
        """That of a certify job; of others the usual one."""
        found: Bound = self.spec.get("bound", "one_sided")
        return found

    def standard(self) -> Standard | None:
        """Of a mix that is certified as one, what its standard classifier says of an image."""
        return standard_of(self.model(), self.bound)

    def model(self) -> BaseClassifier:
        """The base classifier, on the task's device and in evaluation mode."""
        model, _ = _model(self.path("checkpoint"), str(self.device))
        return model

    def num_classes(self) -> int:
        """Of the base classifier."""
        return _model(self.path("checkpoint"), str(self.device))[1].num_classes

    def sampler(self, bound: Bound | None = None) -> Sampler:
        """The base classifier under the job's noise, on the task's device; of a mix that is looked at as one, its robust part."""
        bound = bound or self.bound
        model, info = _model(self.path("checkpoint"), str(self.device))
        batch_size = self.execution.get("batch_size") or DEFAULT_BATCH
        precision, compiled = self.spec.get("precision", "fp32"), self.execution.get("compiled", False)
        rows = (self.resume or {}).get("rows")
        compiled = compiled and rows is None  # a compiled network is made for batches of one size
        sampler = Sampler(
            voting(model, bound),
            self.spec["sigma"],
            info.num_classes,
            seed=self.spec["seed"],
            batch_size=batch_size,
            precision=precision,
            noise=self.spec.get("noise", "gaussian"),
            prepared=_prepared(self.path("checkpoint"), str(self.device), bound, precision, compiled, batch_size),
        )
        sampler.forced = rows
        return sampler

    def procedure(self, turn: int | None = None) -> Procedure:
        """How a certify job certifies, as far as it goes in this turn, or in another one."""
        spec = parse_spec(self.spec)
        assert isinstance(spec, CertifySpec)
        whole = procedure_of(spec, inputs=len(spec.inputs.indices(len(self.dataset()))))
        return whole.turn(self.turn if turn is None else turn)

    def last(self, **more: Any) -> dict[str, Any]:
        """The message that ends the shard: it is done, or was stopped on the way."""
        return {"type": "stopped"} if self.asked_to_stop.is_set() else {"type": "done", **more}

    def unfinished(self) -> list[Progress]:
        """The votes of the inputs that were cut."""
        return [Progress.of(body) for body in self.progress or ()]


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
