"""Checks of the arguments of :class:`SmoothedClassifier`."""

import math
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radii.rs_core.data.image_checks import check_images
from radii.rs_core.errors import InvalidImages, InvalidSpec
from radii.rs_core.records import UNKNOWN_LABEL, Certificate, Prediction
from radii.rs_core.specs.jobs import MAX_SEED

Images: TypeAlias = Tensor | NDArray[Any]
SHAPES = "one image (C, H, W) or several (B, C, H, W)"
WANTED = f"{SHAPES}, floating-point pixels in [0, 1] as a torch tensor or a numpy array"


def taken(x: Images) -> tuple[Tensor, bool]:
    """The images (B, C, H, W), float32, and whether ``x`` was a single one.

    Integers are refused, since nothing says which value is white. Raises :class:`InvalidImages`.
    """
    pixels = _as_tensor(x)
    if pixels.dim() not in (3, 4):
        raise InvalidImages(expected=SHAPES, got=f"{pixels.dtype} {tuple(pixels.shape)}", where="x")
    if not torch.is_floating_point(pixels):
        hint = "; divide them by 255: x / 255" if pixels.dtype == torch.uint8 else ""
        raise InvalidImages(expected="floating-point pixels in [0, 1]", got=f"{pixels.dtype}{hint}", where="x")
    images = pixels.detach().to(torch.float32)
    several = images if images.dim() == 4 else images[None]
    try:
        check_images(several.cpu().numpy(), "x", InvalidImages)
    except InvalidImages as error:
        wanted = "pixels in [0, 1]" if "[0, 1]" in error.expected else error.expected
        raise InvalidImages(expected=wanted, got=error.got, where="x") from None
    return several, images.dim() == 3


def number_of(value: Any, where: str, expected: str, *, above: float, most: float = math.inf) -> float:
    """A finite number above ``above`` and at most ``most``. Raises :class:`InvalidSpec` with what is ``expected``."""
    found = _plain(value)
    if isinstance(found, bool) or not isinstance(found, Real) or not above < float(found) <= most or math.isinf(found):
        raise InvalidSpec(expected=expected, got=repr(value)[:100], where=where)
    return float(found)


def whole_number_of(value: Any, where: str, expected: str, *, least: int, most: int = MAX_SEED) -> int:
    """A whole number from ``least`` to ``most``, of an integer type or not. Raises :class:`InvalidSpec` with what is
    ``expected``."""
    found = _whole(value)
    if found is None or not least <= found <= most:
        raise InvalidSpec(expected=expected, got=repr(value)[:100], where=where)
    return found


def labels_of(label: int | Sequence[int], count: int, num_classes: int, *, single: bool) -> list[int]:
    """One label for each image, from -1 (unknown) to ``num_classes`` - 1; the default stands for all of them."""
    if isinstance(label, int | np.integer) and label == UNKNOWN_LABEL:
        return [UNKNOWN_LABEL] * count
    found = _whole_numbers(label, count, "label", single=single)
    if min(found) < UNKNOWN_LABEL or max(found) >= num_classes:
        got = f"labels from {min(found)} to {max(found)}"
        raise InvalidSpec(expected=f"labels from 0 to {num_classes - 1}, or -1 for none", got=got, where="label")
    return found


def numbers_of(index: int | Sequence[int] | None, count: int, calls: Iterator[int], *, single: bool) -> list[int]:
    """The number of each image's noise streams: those given, all different, or the next ones of ``calls``."""
    if index is None:
        return [next(calls) for _ in range(count)]
    found = _whole_numbers(index, count, "index", single=single)
    if min(found) < 0 or max(found) > MAX_SEED or len(set(found)) < count:
        raise InvalidSpec(
            expected="different numbers from 0 on, one for each image", got=str(found)[:100], where="index"
        )
    return found


def in_order(records: Iterable[object], numbers: Sequence[int]) -> list[Certificate | Prediction]:
    """The finished records, in the order of ``numbers``."""
    found = {record.index: record for record in records if isinstance(record, Certificate | Prediction)}
    return [found[number] for number in numbers]


def _as_tensor(x: Images) -> Tensor:
    if isinstance(x, Tensor):
        return x
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiub":
        got = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise InvalidImages(expected=WANTED, got=got, where="x")
    if x.dtype.kind == "f":
        return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64 if x.dtype.itemsize > 4 else np.float32))
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.uint8 if x.dtype == np.uint8 else np.int64))


def _whole_numbers(value: Any, count: int, where: str, *, single: bool) -> list[int]:
    plain = _plain(value)
    given = [plain] if single and not isinstance(plain, Sequence | np.ndarray | Tensor) else plain
    listed = given.tolist() if isinstance(given, np.ndarray | Tensor) else given
    found = [_whole(one) for one in listed] if isinstance(listed, Sequence) else []
    known = [one for one in found if one is not None]
    if len(known) != count or len(found) != count:
        wanted = "a whole number" if single else f"{count} whole numbers, one for each image"
        raise InvalidSpec(expected=wanted, got=repr(value)[:100], where=where)
    return known


def _whole(value: Any) -> int | None:
    """The whole number that a value is, of whatever numeric type; None for anything else."""
    found = _plain(value)
    if isinstance(found, bool) or not isinstance(found, Real):
        return None
    if isinstance(found, Integral):
        return int(found)
    return int(float(found)) if float(found).is_integer() else None


def _plain(value: Any) -> Any:
    """A tensor or a numpy value without axes as a Python number."""
    return value.item() if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0 else value
