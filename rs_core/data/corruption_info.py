"""What is known of a data set of corrupted images: which images have which corruption and severity, and where these
come from. Torch-free.

The corruptions are those of Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations", arXiv 1903.12261: fifteen common ones, over which means are taken, and four more that
they keep for validation. Making them is left to ``corruptions``, averages over them to ``reports.corruptions``.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from radii.rs_core.errors import InvalidDataset
from radii.rs_core.specs.fields import Seed, Selection, record
from radii.rs_core.specs.jobs import dump_spec, invalid_spec

Corruption = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
]
Severity = Annotated[int, Field(ge=1, le=5)]

COMMON: tuple[str, ...] = get_args(Corruption)[:15]
VALIDATION: tuple[str, ...] = get_args(Corruption)[15:]
SEVERITIES = (1, 2, 3, 4, 5)
IMAGENET_C = "ImageNet-C"
REVISION = 2
"""Of corrupted images that are made now, see :class:`Corrupted`."""
CIFAR_10_C = "CIFAR-10-C"


@record
class CorruptionGroup:
    """Images ``start`` to ``stop`` - 1 of a data set, which have one corruption at one severity."""

    corruption: Corruption
    severity: Severity
    start: Annotated[int, Field(ge=0)]
    stop: Annotated[int, Field(ge=1)]


@record
class Corrupted:
    """What was done to the images of a data set. ``groups`` follow each other and hold all of them.

    ``revision`` counts changes of our own to what the library makes: from 2 on, frost has the textures of ImageNet-C alone.
    ``constants`` says whose strengths the severities are: those of ImageNet-C, as ``library`` has them, or those of the
    files of CIFAR-10-C. The other fields are of images that were made here: ``clean_hash`` is the content hash of the
    clean data set, ``inputs`` which of its images each group holds, in this order; ``padded``: they were smaller than
    the library takes and were padded for it; ``rounded``: their pixels were brought to whole multiples of 1/255 first.
    """

    groups: Annotated[tuple[CorruptionGroup, ...], Field(min_length=1, max_length=1_000)]
    constants: Annotated[str, Field(max_length=100)]
    library: Annotated[str | None, Field(max_length=100)] = None
    version: Annotated[str | None, Field(max_length=100)] = None
    revision: Annotated[int, Field(ge=1)] = 1
    seed: Seed | None = None
    clean_hash: Annotated[str | None, Field(max_length=100)] = None
    inputs: Selection | None = None
    padded: bool = False
    rounded: bool = False

    @property
    def starts(self) -> tuple[int, ...]:
        """The first index of each group, ascending."""
        return tuple(group.start for group in self.groups)

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Each corruption once, in the order of the groups."""
        return tuple(dict.fromkeys(group.corruption for group in self.groups))


DIFFERENCES: dict[str, str] = {
    "motion_blur": "has a kernel of its own in place of ImageMagick's motion blur",
    "zoom_blur": "cuts enlarged images at their upper left and not in the middle",
    "snow": "blurs with a kernel of its own in place of ImageMagick's, and cuts the enlarged flakes at their upper left",
    "frost": "enlarges its textures by a tenth before it cuts them",
    "elastic_transform": "has no random affine part, and other strengths",
    "glass_blur": "draws from a generator of its own",
}
"""How the library's corruptions differ from the published code of ImageNet-C; the others compute the same."""
SIX_TEXTURES = "draws from six textures, of which ImageNet-C has five, and enlarges them by a tenth before it cuts them"


def differences(corrupted: Corrupted) -> dict[str, str]:
    """By corruption that is in the data set: how it differs from ImageNet-C; empty of images that were not made here."""
    if corrupted.library is None:
        return {}
    known = DIFFERENCES | ({"frost": SIX_TEXTURES} if corrupted.revision < 2 else {})
    return {name: known[name] for name in corrupted.corruptions if name in known}


_RECORD = TypeAdapter(Corrupted)


def to_json(corrupted: Corrupted) -> dict[str, Any]:
    """The record as a JSON object, as it is kept beside the images."""
    body = dump_spec(corrupted)
    if corrupted.revision == 1:
        del body["revision"]  # equal data sets give equal bytes, those of before there were revisions included
    return body


def from_json(body: object, count: int, where: str) -> Corrupted:
    """The record of a data set of ``count`` images; :class:`InvalidDataset` where it is none, or groups do not fit."""
    try:
        found = _RECORD.validate_python(dict(body) if isinstance(body, Mapping) else body)
    except ValidationError as error:
        fault = invalid_spec(error, placed=True)
        raise InvalidDataset(expected=fault.expected[:500], got=fault.got[:500], where=where) from None
    check_groups(found.groups, count, where)
    return found


def check_groups(groups: tuple[CorruptionGroup, ...], count: int, where: str) -> None:
    """Refuses groups that are not all of ``count`` images, one after the other, each corruption and severity once."""
    ends = [0, *(group.stop for group in groups)]
    starts = [*(group.start for group in groups), count]
    if ends != starts or any(group.start >= group.stop for group in groups):
        raise InvalidDataset(
            expected=f"groups that follow each other and hold all {count:,} images",
            got=", ".join(f"{group.start:,} to {group.stop:,}" for group in groups[:5]),
            where=where,
        )
    kinds = [(group.corruption, group.severity) for group in groups]
    if len(set(kinds)) < len(kinds):
        raise InvalidDataset(expected="each corruption and severity once", got="one that comes twice", where=where)


def check_source(shape: Sequence[int], corrupted: bool, where: str) -> None:
    """Raises :class:`InvalidDataset` for images that cannot be corrupted; ``shape`` is (C, H, W)."""
    if shape[0] not in (1, 3):
        got = f"{shape[0]} channels"
        raise InvalidDataset(expected="images of 1 or 3 channels to corrupt", got=got, where=where)
    if corrupted:
        raise InvalidDataset(expected="a data set of clean images", got="one that is corrupted already", where=where)


def in_a_row(kinds: list[tuple[str, int]], each: int) -> tuple[CorruptionGroup, ...]:
    """Groups of ``each`` images, one after the other, of these corruptions and severities."""
    return tuple(
        CorruptionGroup(corruption=corruption, severity=severity, start=place * each, stop=(place + 1) * each)  # type: ignore[arg-type]
        for place, (corruption, severity) in enumerate(kinds)
    )
