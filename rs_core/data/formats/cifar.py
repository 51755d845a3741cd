"""CIFAR-10 and CIFAR-100 in their binary version: .bin files, or the .tar.gz that holds them. Torch-free.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. A record is one label byte (CIFAR-10) or a
coarse and a fine one (CIFAR-100; the fine one is used), then 3,072 bytes of a 3x32x32 image. Several .bin files are
taken in the order given; of an archive, the training batches in their order, then the test batch. The "python version"
is a pickle and is refused.
"""

import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.dataset_info import (
    DatasetArrays,
    DatasetInfo,
    Shape,
    check_size,
    check_unpacked,
    head,
    is_gzip,
    listed,
    one,
)
from radii.rs_core.data.ignored_files import SkippedMembers, is_clutter
from radii.rs_core.errors import InvalidDataset
from radii.rs_core.exception_text import first_line

SHAPE: Shape = (3, 32, 32)
LABEL_BYTES = {"cifar10": 1, "cifar100": 2}
MAX_TAR = 256 * 2**20
MEMBERS = {
    "cifar10": (*(f"data_batch_{batch}.bin" for batch in range(1, 6)), "test_batch.bin"),
    "cifar100": ("train.bin", "test.bin"),
}
PYTHON_MEMBERS = {*(f"data_batch_{batch}" for batch in range(1, 6)), "test_batch", "train", "test", "meta"}
BINARY = "the binary version of CIFAR (cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, or their .bin files)"
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100_NAMES = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
    "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
    "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster "
    "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
    "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
    "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger "
    "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm "
)
CIFAR100 = tuple(_CIFAR100_NAMES.split())
CLASS_NAMES = {"cifar10": CIFAR10, "cifar100": CIFAR100}


Part = tuple[str, bytes]


def is_tar(path: Path) -> bool:
    """Whether it is a tar archive, gzipped or not, by its first block."""
    try:
        tarfile.TarInfo.frombuf(head(path, tarfile.BLOCKSIZE), "utf-8", "replace")
    except tarfile.HeaderError:
        return False
    return True


def kind_of(path: Path) -> str | None:
    """``cifar10`` or ``cifar100`` by the size of a .bin file; ``None`` where it is neither.

    A size that fits both (a multiple of 3,073 x 3,074) is taken for CIFAR-10.
    """
    size = path.stat().st_size
    return next((kind for kind in LABEL_BYTES if size and size % _record(kind) == 0), None)


def inspect_cifar(paths: Sequence[Path], kind: str) -> DatasetInfo:
    """From the sizes of the .bin files, ``kind`` being that of :func:`kind_of`."""
    return _info(kind, [(path.name, path.stat().st_size) for path in paths])


def read_cifar(paths: Sequence[Path], kind: str) -> DatasetArrays:
    """All of it: images (N, 3, 32, 32) uint8, and the names of the classes."""
    inspect_cifar(paths, kind)  # the sizes, before anything is read
    return _arrays(kind, [(path.name, path.read_bytes()) for path in paths])


def inspect_cifar_tar(paths: Sequence[Path]) -> DatasetInfo:
    """From the sizes of the archive's members."""
    with _opened(paths) as archive:
        kind, members = _members(archive, paths[0])
        return _info(kind, [(member.name, member.size) for member in members])


def read_cifar_tar(paths: Sequence[Path]) -> DatasetArrays:
    """All of it, as :func:`read_cifar`, and which hidden and system entries were skipped."""
    with _opened(paths) as archive:
        kind, members = _members(archive, paths[0])
        arrays = _arrays(kind, [(member.name, _data(archive, member)) for member in members])
        return replace(arrays, skipped=SkippedMembers.among(archive.getnames()))


def _info(kind: str, sizes: Sequence[tuple[str, int]]) -> DatasetInfo:
    count = sum(_count(kind, size, name) for name, size in sizes)
    check_size(count, SHAPE, 1, listed([name for name, _ in sizes]))
    names = CLASS_NAMES[kind]
    return DatasetInfo(format=kind, count=count, shape=SHAPE, num_classes=len(names), class_names=names, dtype="uint8")


def _arrays(kind: str, parts: Sequence[Part]) -> DatasetArrays:
    rows = np.concatenate([_rows(kind, data, name) for name, data in parts])
    check_size(len(rows), SHAPE, 1, listed([name for name, _ in parts]))
    start = LABEL_BYTES[kind]
    return DatasetArrays(
        images=rows[:, start:].reshape(-1, *SHAPE), labels=rows[:, start - 1], class_names=CLASS_NAMES[kind]
    )


def _rows(kind: str, data: bytes, name: str) -> NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8).reshape(_count(kind, len(data), name), _record(kind))


def _count(kind: str, size: int, name: str) -> int:
    if size % _record(kind):
        raise InvalidDataset(
            expected=f"a multiple of {_record(kind):,} bytes, one record of {kind}", got=f"{size:,}", where=name
        )
    return size // _record(kind)


def _record(kind: str) -> int:
    return LABEL_BYTES[kind] + prod(SHAPE)


def _opened(paths: Sequence[Path]) -> tarfile.TarFile:
    path = one(paths, ".tar.gz file")
    # Before tarfile looks at it: a header may announce, and tarfile then hold, as much as the file unpacks to.
    check_unpacked(path, MAX_TAR)
    try:
        # No other packing is looked for: what it unpacks to would not have been counted.
        return tarfile.open(path, "r:gz" if is_gzip(path) else "r:", errors="replace")
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InvalidDataset(
            expected="a whole tar file", got=f"a broken one ({first_line(error)})", where=path.name
        ) from None


def _members(archive: tarfile.TarFile, path: Path) -> tuple[str, list[tarfile.TarInfo]]:
    """The kind, and its known members in their order; every other member is skipped, one in a hidden folder too."""
    try:
        every = [(PurePosixPath(member.name).name, member) for member in archive if not is_clutter(member.name)]
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InvalidDataset(
            expected="a whole tar file", got=f"a broken one ({first_line(error)})", where=path.name
        ) from None
    plain = {name: member for name, member in every if member.isreg() and not member.issparse()}
    kinds = [kind for kind, known in MEMBERS.items() if any(name in plain for name in known)]
    if len(kinds) != 1:
        python = any(name in PYTHON_MEMBERS for name in plain)
        files = "the pickles of the python version" if python else listed(list(plain)) or "no file"
        raise InvalidDataset(expected=BINARY, got=files, where=path.name)
    return kinds[0], [plain[name] for name in MEMBERS[kinds[0]] if name in plain]


def _data(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file is not None else b""
