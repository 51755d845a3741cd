"""A data set of corrupted images, written image by image into the stored form; how one is made is in ``transforms``."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from radii.rs_core.data.content_hash import ContentHash
from radii.rs_core.data.convert import ConvertedDataset
from radii.rs_core.data.corruptions import transforms
from radii.rs_core.data.corruptions.spec import CorruptSpec
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.dataset_file import content_hash, write
from radii.rs_core.data.dataset_info import check_size

SOURCE = "corrupted"


def write_corrupted(
    data: Dataset,
    spec: CorruptSpec,
    out: Path,
    *,
    clean_hash: str | None = None,
    limit: float | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> ConvertedDataset:
    """Writes what ``spec`` asks for to ``out``; ``limit`` is on the bytes of all images, ``clean_hash`` the content hash of
    ``data`` where it is known, and ``told`` hears after each image how many of how many there are.

    Raises :class:`InvalidDataset`, :class:`InvalidSpec` and :class:`MissingPackage`; what was written until then is left to
    the caller. The same data set, specification and versions of the packages give the same bytes.
    """
    corrupted = transforms.plan(data, spec, clean_hash or content_hash(data))
    total = corrupted.groups[-1].stop
    check_size(total, data.shape, 1, data.name, limit)
    chosen = data.labels[np.array(spec.inputs.indices(len(data)))]
    labels = np.tile(chosen, len(corrupted.groups))
    digest = ContentHash((total, *data.shape), "uint8", labels, data.class_names)

    def pixels() -> Iterator[bytes]:
        for done, image in enumerate(transforms.images(data, corrupted), start=1):
            piece = image.tobytes()
            digest.update(piece)
            yield piece
            told(done, total)

    names = data.class_names
    write(
        out,
        shape=data.shape,
        dtype="uint8",
        labels=labels,
        class_names=names,
        source=SOURCE,
        pixels=pixels(),
        corrupted=corrupted,
    )
    return ConvertedDataset(
        content_hash=digest.hexdigest(), count=total, shape=data.shape, class_names=names, corrupted=corrupted
    )
