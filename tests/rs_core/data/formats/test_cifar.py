"""CIFAR in its binary version: records, archives, and every refusal with its sentence."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from radii.rs_core.data.formats.cifar import CIFAR10, CIFAR100, read_cifar_tar
from radii.rs_core.data.inspect import inspect
from radii.rs_core.data.load import read
from radii.rs_core.errors import InvalidDataset


def records(labels: list[list[int]], seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    return b"".join(bytes(label) + rng.integers(0, 256, 3072, dtype=np.uint8).tobytes() for label in labels)


CIFAR10_BATCH = records([[3], [9], [0]])
CIFAR100_BATCH = records([[19, 99], [0, 7]])


def file(folder: Path, data: bytes, name: str = "data_batch_1.bin") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def tar(folder: Path, members: dict[str, bytes], mode: str = "w:gz", kind: bytes = tarfile.REGTYPE) -> list[Path]:
    path = folder / "cifar.tar.gz"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(data) * (kind == tarfile.REGTYPE), kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(data))
    return [path]


def sentence(paths: list[Path]) -> str:
    with pytest.raises(InvalidDataset) as caught:
        read(paths)
    return str(caught.value).removeprefix("The data set cannot be read ")


def test_a_record_is_a_label_and_three_planes(tmp_path: Path) -> None:
    dataset = read([file(tmp_path, CIFAR10_BATCH)])
    assert dataset.shape == (3, 32, 32)
    assert dataset.labels.tolist() == [3, 9, 0]
    assert dataset.class_names == CIFAR10
    assert dataset.images[1].tobytes() == CIFAR10_BATCH[3073 + 1 : 2 * 3073]


def test_cifar100_takes_the_fine_label(tmp_path: Path) -> None:
    dataset = read([file(tmp_path, CIFAR100_BATCH, "test.bin")])
    assert dataset.labels.tolist() == [99, 7]
    assert dataset.class_names == CIFAR100
    assert dataset.images[1].tobytes() == CIFAR100_BATCH[3074 + 2 :]


def test_several_files_follow_each_other_in_the_order_given(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = [file(tmp_path / "other", records([[5]], 1)), file(tmp_path, CIFAR10_BATCH)]
    assert read(paths).labels.tolist() == [5, 3, 9, 0]
    assert read(paths[::-1]).labels.tolist() == [3, 9, 0, 5]
    assert inspect(paths).count == 4


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_an_archive_gives_training_batches_then_the_test_batch(tmp_path: Path, mode: str) -> None:
    top = "cifar-10-batches-bin/"
    members = {
        top + "test_batch.bin": records([[7]], 1),
        top + "readme.html": b"x",
        top + "data_batch_2.bin": records([[2], [3]], 2),
        top + "data_batch_1.bin": records([[1]], 3),
    }
    paths = tar(tmp_path, members, mode)
    dataset = read(paths)
    assert dataset.labels.tolist() == [1, 2, 3, 7]
    info = inspect(paths)
    assert (info.format, info.count, info.shape, info.num_classes) == ("cifar10", 4, (3, 32, 32), 10)


def test_an_archive_of_cifar100_is_known_by_its_members(tmp_path: Path) -> None:
    paths = tar(
        tmp_path, {"cifar-100-binary/test.bin": CIFAR100_BATCH, "cifar-100-binary/train.bin": records([[1, 50]])}
    )
    assert read(paths).labels.tolist() == [50, 99, 7]
    assert inspect(paths).format == "cifar100"


def test_a_size_of_neither_kind_is_refused(tmp_path: Path) -> None:
    found = sentence([file(tmp_path, CIFAR10_BATCH[:-1])])
    assert found.startswith(
        "(data_batch_1.bin): expected an .npz file, a pair of idx files, CIFAR .bin files or their .tar.gz, a zip "
        "of class folders, or the .npy files of CIFAR-10-C, got 9,218 bytes that start with b'\\x03"
    )
    with pytest.raises(InvalidDataset, match=r"expected a multiple of 3,073 bytes, one record of cifar10, got 9,218\."):
        read([tmp_path / "data_batch_1.bin"], format="cifar10")


def test_labels_out_of_range_are_refused(tmp_path: Path) -> None:
    found = sentence([file(tmp_path, records([[1], [10]]))])
    assert found.endswith("expected labels from 0 to 9, got labels from 1 to 10, the first outside at index 1.")


PYTHON = (
    "expected the binary version of CIFAR (cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, or their .bin files), "
    "got {}."
)


def test_the_python_version_is_refused_with_the_name_of_the_right_download(tmp_path: Path) -> None:
    found = sentence([file(tmp_path, b"\x80\x02}q\x01" + bytes(3068), "data_batch_1")])
    assert found == "(data_batch_1): " + PYTHON.format("a pickle, as in the python version")
    found = sentence(tar(tmp_path, {"cifar-10-batches-py/data_batch_1": b"\x80\x02}", "x/batches.meta": b""}))
    assert found == "(cifar.tar.gz): " + PYTHON.format("the pickles of the python version")


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    found = sentence(tar(tmp_path, {"data_batch_1.mat": b"x", "a/readme": b""}))
    assert found == "(cifar.tar.gz): " + PYTHON.format("data_batch_1.mat, readme")


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    found = sentence(tar(tmp_path, {"x/data_batch_1.bin": b""}, kind=tarfile.SYMTYPE))
    assert found == "(cifar.tar.gz): " + PYTHON.format("no file")


def test_a_member_of_the_wrong_size_is_named(tmp_path: Path) -> None:
    found = sentence(tar(tmp_path, {"x/data_batch_1.bin": CIFAR10_BATCH[:-5]}))
    assert found == "(x/data_batch_1.bin): expected a multiple of 3,073 bytes, one record of cifar10, got 9,214."


def test_an_empty_batch_is_an_empty_set(tmp_path: Path) -> None:
    found = sentence(tar(tmp_path, {"x/data_batch_1.bin": b""}))
    assert found == "(x/data_batch_1.bin): expected at least one image, got 0 images of shape (3, 32, 32)."


def test_an_archive_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tar(tmp_path, {"x/data_batch_1.bin": CIFAR10_BATCH})[0]
    path.write_bytes(path.read_bytes()[:-2000])
    assert sentence([path]).startswith("(cifar.tar.gz): expected a whole gzip file, got a broken one (")
    plain = tar(tmp_path, {"x/data_batch_1.bin": CIFAR10_BATCH}, "w")[0]
    plain.write_bytes(plain.read_bytes()[:5000])
    assert sentence([plain]).startswith("(cifar.tar.gz): expected a whole tar file, got a broken one (")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radii.rs_core.data.formats.cifar.MAX_TAR", 10**6)
    path = tar(tmp_path, {"x/data_batch_1.bin": CIFAR10_BATCH}, "w")[0]
    path.write_bytes(gzip.compress(path.read_bytes() + bytes(10**6)))
    assert sentence([path]) == "(cifar.tar.gz): expected at most 1,000,000 bytes, unpacked, got more."


def test_a_hidden_copy_of_a_batch_does_not_replace_it(tmp_path: Path) -> None:
    first, hidden = records([[3], [4]]), records([[9]], seed=1)
    batches = {"x/data_batch_1.bin": first, "x/.ipynb_checkpoints/data_batch_1.bin": hidden, "x/._test_batch.bin": b"x"}
    dataset = read(tar(tmp_path, batches))
    assert dataset.labels.tolist() == [3, 4]
    assert dataset.skipped is not None
    assert dataset.skipped.names == ("x/._test_batch.bin", "x/.ipynb_checkpoints/data_batch_1.bin")
    assert read(tar(tmp_path, {"x/data_batch_1.bin": first, "x/readme.html": b""})).skipped is None


@pytest.mark.parametrize("packing", ["bz2", "xz"])
def test_a_packing_whose_growth_is_not_counted_is_not_opened(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"cifar.tar.{packing}"
    with tarfile.open(path, f"w:{packing}") as archive:
        info = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        info.size = 3073
        archive.addfile(info, io.BytesIO(bytes(3073)))
    with pytest.raises(InvalidDataset, match="expected a whole tar file, got a broken one"):
        read_cifar_tar([path])
