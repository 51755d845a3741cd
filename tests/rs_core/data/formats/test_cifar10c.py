"""The files of CIFAR-10-C: which images are which, mapped and not read whole, and every refusal with its sentence."""

import io
import pickle  # noqa: TID251
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from radii.rs_core.data import memmap
from radii.rs_core.data.convert import convert
from radii.rs_core.data.dataset_file import content_hash, open_dataset
from radii.rs_core.data.formats.cifar import CIFAR10, CIFAR100
from radii.rs_core.data.formats.npy import place_of
from radii.rs_core.data.inspect import detect, inspect
from radii.rs_core.data.load import load, read
from radii.rs_core.data.memmap import ConcatenatedFiles
from radii.rs_core.errors import InvalidDataset

RNG = np.random.default_rng(0)
FOG, NOISE = (RNG.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8) for _ in range(2))
LABELS = np.array([3, 8] * 5, dtype=np.uint8)


def folder(path: Path, **arrays: NDArray[Any]) -> list[Path]:
    path.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return [path / f"{name}.npy" for name in arrays]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return folder(tmp_path / "c", labels=LABELS, fog=FOG, gaussian_noise=NOISE, spatter=NOISE[::-1].copy())


def sentence(paths: list[Path]) -> str:
    with pytest.raises(InvalidDataset) as caught:
        read(paths)
    with pytest.raises(InvalidDataset) as inspected:
        inspect(paths)
    assert str(inspected.value) == str(caught.value)
    return str(caught.value)


def test_images_come_in_the_papers_order_with_their_severities(files: list[Path]) -> None:
    found = read(files)
    assert found.corrupted is not None
    kinds = [(group.corruption, group.severity, group.start, group.stop) for group in found.corrupted.groups]
    assert kinds[0] == ("gaussian_noise", 1, 0, 2)
    assert kinds[6] == ("fog", 2, 12, 14)
    assert kinds[-1] == ("spatter", 5, 28, 30)
    assert (len(found), found.shape, found.class_names) == (30, (3, 32, 32), CIFAR10)
    assert found.labels.tolist() == LABELS.tolist() * 3
    assert (found.corrupted.constants, found.corrupted.library) == ("CIFAR-10-C", None)


def test_pixels_are_those_of_the_files_channels_first(files: list[Path]) -> None:
    found = read(files)
    assert isinstance(found.images, ConcatenatedFiles)
    chosen = np.array([21, 3, 12, -1])
    wanted = np.stack([NOISE[8], NOISE[3], FOG[2], NOISE[0]]).transpose(0, 3, 1, 2)
    assert np.array_equal(memmap.take(found.images, chosen), wanted)
    assert np.array_equal((found.image(12).numpy() * 255).round(), FOG[2].transpose(2, 0, 1))
    with pytest.raises(IndexError, match="index 30 is outside of 30 rows"):
        memmap.take(found.images, np.array([30]))


def test_images_larger_than_memory_are_not_read_before_they_are_asked_for(tmp_path: Path) -> None:
    """A file of 154 GB that has hardly a byte on the disk."""
    count = 50_000_000
    with (tmp_path / "fog.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"shape": (count, 32, 32, 3), "fortran_order": False, "descr": "|u1"}
        )
        file.truncate(file.tell() + count * 3072)
    place = place_of(tmp_path / "fog.npy")
    joined = ConcatenatedFiles((place, place))
    assert joined.shape == (2 * count, 3, 32, 32)
    assert memmap.take(joined, np.array([0, count + 5])).sum() == 0


def test_conversion_gives_the_same_set_in_the_stored_form(files: list[Path], tmp_path: Path) -> None:
    made = convert(files, tmp_path / "out", format="cifar10c")
    stored = open_dataset(tmp_path / "out")
    assert made.content_hash == content_hash(read(files)) == content_hash(tmp_path / "out")
    assert stored.corrupted == made.corrupted == read(files).corrupted
    assert np.array_equal(stored.images[10:20], FOG.transpose(0, 3, 1, 2))
    with pytest.raises(InvalidDataset, match=r"got 30 images of shape \(3, 32, 32\)"):
        convert(files, tmp_path / "more", limit=30 * 3072 - 1)


def test_a_command_line_names_the_files_with_commas(files: list[Path]) -> None:
    assert detect(files) == "cifar10c"
    assert len(load(",".join(map(str, files)))) == 30
    assert inspect(files).count == 30
    assert read(files, format="cifar10c").num_classes == 10


def test_labels_beyond_ten_are_those_of_cifar_100(tmp_path: Path) -> None:
    assert read(folder(tmp_path, labels=LABELS + 90, fog=FOG)).class_names == CIFAR100


def test_files_that_are_not_of_such_a_set_are_refused(files: list[Path], tmp_path: Path) -> None:
    named = "expected files named after their corruptions (fog.npy, ...), and labels.npy"
    assert f"{named}, got fog.npy." in sentence([files[1]])
    assert f"{named}, got labels.npy." in sentence([files[0]])
    assert f"{named}, got rain.npy." in sentence([*files, *folder(tmp_path, rain=FOG)])
    assert f"{named}, got labels.npy, fog.npy, fog.npy." in sentence([*files[:2], *folder(tmp_path, fog=FOG)])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"fog": FOG[:5]}, "expected 5 labels, one per image, got 10"),
        ({"fog": FOG[:7], "labels": LABELS[:7]}, "expected a number of images that 5 severities share, got 7"),
        ({"fog": FOG.astype(np.float32)}, "expected images as uint8 of shape (N, 32, 32, 3), got float32"),
        ({"fog": FOG[:, :16]}, "got uint8 of shape (10, 16, 32, 3)"),
        ({"fog": np.asfortranarray(FOG)}, "expected an array in C order, got one in Fortran order"),
        ({"labels": LABELS.astype(float)}, "expected integer labels of shape (N,), got float64"),
        ({"labels": LABELS[:, None]}, "got uint8 of shape (10, 1)"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    assert said in sentence(folder(tmp_path, **{"fog": FOG, "labels": LABELS} | arrays))


def test_an_array_of_objects_is_a_pickle_and_is_not_read(tmp_path: Path) -> None:
    paths = folder(tmp_path, fog=FOG, labels=LABELS)
    with paths[1].open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"shape": (1,), "fortran_order": False, "descr": "|O"})
        pickle.dump(["boom"], file)
    assert "Python objects, which is a pickle" in sentence(paths)


def test_files_that_are_cut_or_too_long_are_refused(tmp_path: Path) -> None:
    for change in (-1, 1):
        fog, labels = folder(tmp_path, fog=FOG, labels=LABELS)
        whole = fog.read_bytes()
        fog.write_bytes(whole[:-1] if change < 0 else whole + b"x")
        assert (
            f"expected 30,720 bytes of an array of shape (10, 32, 32, 3), as its header says, got {30720 + change:,}"
            in (sentence([fog, labels]))
        )
    fog.write_bytes(whole[:20])
    assert "an array 'fog' with a .npy header" in sentence([fog, labels])


def test_a_header_that_lies_costs_nothing(tmp_path: Path) -> None:
    fog, labels = folder(tmp_path, fog=FOG, labels=LABELS)
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": (10**15, 32, 32, 3), "fortran_order": False, "descr": "|u1"})
    fog.write_bytes(file.getvalue() + b"1234")
    assert "as its header says, got 4" in sentence([fog, labels])
