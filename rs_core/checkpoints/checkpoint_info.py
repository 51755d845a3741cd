"""What a checkpoint says of itself, and whether it fits a data set. Needs no torch.

The record is kept as JSON in the metadata of the safetensors file that holds the weights; ``checkpoint`` writes and
loads that file, ``torch_file`` makes the record out of foreign files and the hints of whoever brings them. A model that is
made of models has the records of its parts in its own (``composition``).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from radii.rs_core.checkpoints import composite_info
from radii.rs_core.data.dataset_info import MAX_CLASS_NAMES_TEXT
from radii.rs_core.errors import IncompatibleParts, InvalidCheckpoint, Mismatch
from radii.rs_core.safetensors_header import SafetensorsHeader, read_header
from radii.rs_core.specs.composition import Composition
from radii.rs_core.specs.jobs import Normalization, NormalizationChoice, Sigma, dump_spec, invalid_spec, record
from radii.rs_core.storable_text import EXPECTED, fault_of

KIND = "checkpoint"
VERSION = 1
CLASSIFIER = "a classifier (a denoiser becomes part of one when it is composed with one)"

NumClasses = Annotated[int, Field(ge=2, le=100_000)]
Side = Annotated[int, Field(ge=1, le=4096)]
InputShape = Annotated[tuple[Side, Side, Side], Field(description="channels, height, width")]
Role = Annotated[Literal["classifier", "denoiser"], Field(description="denoiser: gives images in place of logits")]
MAX_PROVENANCE = 2**16
"""Bytes of a provenance as JSON."""
ClassNames = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=100_000)]


@record
class CheckpointInfo:
    """Everything but the weights. ``sigma`` and ``method`` are the training's; ``epoch`` counts finished epochs.

    A denoiser has 0 classes. Of a composite, everything but ``provenance`` follows from ``composition`` and ``parts``; each
    part keeps its own record, with the SHA-256 of the file that it came from.
    """

    architecture: Annotated[str, Field(min_length=1, max_length=100)]
    num_classes: Annotated[int, Field(ge=0, le=100_000)]
    input_shape: InputShape
    normalization: Normalization | None = None
    class_names: Annotated[ClassNames, Field(description="in the order of the labels; empty where unknown")] = ()
    sigma: Sigma | None = None
    method: Annotated[str | None, Field(max_length=100)] = None
    epoch: Annotated[int | None, Field(ge=0, le=2**31)] = None
    dataset_hash: Annotated[str | None, Field(max_length=100, description="content hash of the training set")] = None
    provenance: dict[str, Any] = Field(default_factory=dict, description="library versions, origin, device")
    role: Role = "classifier"
    composition: Composition | None = None
    parts: tuple["CheckpointInfo", ...] = ()
    file_sha256: Annotated[
        str | None, Field(pattern="^[0-9a-f]{64}$", description="of a part: the file it came from")
    ] = None

    @model_validator(mode="after")
    def _agrees(self) -> "CheckpointInfo":
        if (self.num_classes == 0) != (self.role == "denoiser") or self.num_classes == 1:
            wanted = "0 classes, as a denoiser has" if self.role == "denoiser" else "at least 2 classes"
            raise InvalidCheckpoint(expected=wanted, got=str(self.num_classes))
        if self.role == "denoiser" and self.normalization is not None:
            raise InvalidCheckpoint(expected="a denoiser of images as they are", got="one behind a normalisation")
        if (self.composition is None) != (not self.parts):
            raise InvalidCheckpoint(expected="a composition with its parts", got="one without the other")
        if self.composition is not None:
            self._follows(composite_info.facts(self.composition, self.parts))
        if self.class_names and len(self.class_names) != self.num_classes:
            raise InvalidCheckpoint(expected=f"{self.num_classes} class names", got=str(len(self.class_names)))
        if (size := len(json.dumps(self.provenance))) > MAX_PROVENANCE:
            raise InvalidCheckpoint(expected=f"a provenance of at most {MAX_PROVENANCE:,} bytes", got=f"{size:,}")
        if (text := sum(map(len, self.class_names))) > MAX_CLASS_NAMES_TEXT:
            expected = f"class names of at most {MAX_CLASS_NAMES_TEXT:,} characters together"
            raise InvalidCheckpoint(expected=expected, got=f"{text:,} characters")
        if self.normalization is not None and len(self.normalization.mean) != self.input_shape[0]:
            raise InvalidCheckpoint(
                expected=f"a normalisation of {self.input_shape[0]} channels",
                got=f"one of {len(self.normalization.mean)}",
            )
        return self

    def _follows(self, known: Mapping[str, Any]) -> None:
        """Raises where a composite is said to be something else than follows from its parts."""
        for name, value in {**known, "normalization": None}.items():
            if (found := getattr(self, name)) != value:
                raise InvalidCheckpoint(expected=f"{name} {value!r}, as follows from the parts", got=repr(found)[:200])


@record
class ConversionHints:
    """What a person may add to a file that does not say it all; ``None`` means not given.

    ``normalization`` "none" states that there is none, as opposed to nothing being known.
    """

    architecture: Annotated[str | None, Field(max_length=100)] = None
    num_classes: NumClasses | None = None
    input_shape: InputShape | None = None
    normalization: NormalizationChoice | None = None
    class_names: ClassNames | None = None
    sigma: Sigma | None = None
    method: Annotated[str | None, Field(max_length=100)] = None


_RECORD = TypeAdapter(CheckpointInfo)
NONE: dict[str, Any] = {"role": "classifier", "composition": None, "parts": [], "file_sha256": None}


class DescribedDataset(Protocol):
    """A data set, or what is known of one."""

    @property
    def shape(self) -> tuple[int, int, int]: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...


def read_info(path: Path) -> CheckpointInfo:
    """The record in the file's metadata; no tensor is read. :class:`InvalidCheckpoint` where there is none."""
    return info_in(read_header(path, InvalidCheckpoint), path.name)


def info_in(header: SafetensorsHeader, where: str) -> CheckpointInfo:
    """The record in a header that was read already."""
    body = header.ours() or {}
    if body.get("kind") != KIND or body.get("version") != VERSION or not isinstance(body.get("info"), dict):
        said = f"kind {body.get('kind')!r}, version {body.get('version')!r}"[:200]
        raise InvalidCheckpoint(
            expected=f"a checkpoint stored by this software, version {VERSION}",
            got=said if body else "a safetensors file without its metadata",
            where=where,
        )
    return make_info(where, body["info"])


def metadata_of(info: CheckpointInfo) -> dict[str, Any]:
    """What is written beside the tensors."""
    return {"kind": KIND, "version": VERSION, "info": dump_info(info)}


def dump_info(info: CheckpointInfo) -> dict[str, Any]:
    """The record as JSON; what only composites and denoisers have is left out of the others'."""
    return _brief(dump_spec(info))


def _brief(body: dict[str, Any]) -> dict[str, Any]:
    parts = [_brief(part) for part in body["parts"]]
    body = body | {"parts": parts}
    return {name: value for name, value in body.items() if name not in NONE or value != NONE[name]}


def make_info(where: str, fields: Mapping[str, Any]) -> CheckpointInfo:
    """The record; :class:`InvalidCheckpoint` says which field is wrong."""
    if (fault := fault_of(fields)) is not None:
        raise InvalidCheckpoint(expected=EXPECTED, got=fault, where=where)
    try:
        return _RECORD.validate_python(dict(fields))
    except ValidationError as error:
        own = error.errors()[0].get("ctx", {}).get("error")
        found = own if isinstance(own, InvalidCheckpoint | IncompatibleParts) else invalid_spec(error, placed=True)
        raise InvalidCheckpoint(expected=found.expected[:500], got=found.got[:500], where=where) from None


def check_fits(info: CheckpointInfo, data: DescribedDataset) -> None:
    """Raises :class:`Mismatch` where images or classes are not those of the model, or where it is no classifier.

    Equal class names in another order are a mismatch too: every label would mean something else.
    """
    if info.role == "denoiser":
        raise Mismatch(expected=CLASSIFIER, got=f"{info.architecture}, a denoiser")
    wanted, found = _described(info), _described(data)
    if wanted != found:
        raise Mismatch(expected=f"{wanted}, as the model takes them", got=f"{found} in the data set")
    same_names = sorted(info.class_names) == sorted(data.class_names)
    if same_names and info.class_names != data.class_names:
        place = next(i for i in range(info.num_classes) if info.class_names[i] != data.class_names[i])
        raise Mismatch(
            expected=f"classes in the model's order, {info.class_names[place]!r} at {place}",
            got=f"{data.class_names[place]!r} there in the data set",
        )


def _described(thing: "CheckpointInfo | DescribedDataset") -> str:
    shape = thing.input_shape if isinstance(thing, CheckpointInfo) else thing.shape
    return f"images of shape {tuple(shape)} and {thing.num_classes} classes"
