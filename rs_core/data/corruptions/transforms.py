"""Corrupted images, made by the package imagecorruptions-imaug with its constants, which are those of ImageNet-C.

Hendrycks and Dietterich 2019, arXiv 1903.12261. The constants were chosen for photographs of 224x224 pixels; CIFAR-10-C,
whose images have 32x32, was made with others. The package takes colour images of 32 pixels and more: smaller ones are
padded by their edges and cut back, and grey ones go through it in colour.

Each result depends on its image, the seed, the image's index, the corruption and the severity, and on nothing else: the
package draws from the global generators of NumPy and Python, which are seeded for each image and put back behind it.
"""

import contextlib
import hashlib
import io
import itertools
import random
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radii.rs_core.data.corruption_info import IMAGENET_C, REVISION, Corrupted, check_source, in_a_row
from radii.rs_core.data.corruptions.spec import CorruptSpec
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.data.image_checks import on_grid
from radii.rs_core.errors import InvalidSpec, MissingPackage
from radii.rs_core.noise.pixel_grid import GRID

LIBRARY = "imagecorruptions-imaug"
SMALLEST_SIDE = 32
SEEDED = ("impulse_noise", "glass_blur")
"""Corruptions that draw from a generator of their own, which takes a seed."""
TEXTURES, TEXTURES_OF_THE_PACKAGE = 5, 6
"""Of frost: ImageNet-C draws from the first five, the package from one more."""
INDEPENDENT = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")
"""Corruptions that draw noise for each channel by itself."""

Pixels = NDArray[np.uint8]


def corrupt_image(image: Pixels, corruption: str, severity: int, *, seed: int, index: int) -> Pixels:
    """The image, uint8 (1 or 3, H, W), corrupted; of the same shape. ``index`` tells it from others of its data set.

    Of the three channels into which the package turns a grey image, the first is kept where each has noise of its own,
    since their mean would have less; of the others, the luminance. Raises :class:`MissingPackage`.
    """
    corrupt = _library()
    key = _frost_key(seed, index, severity) if corruption == "frost" else _key(seed, index, corruption, severity)
    padded, cut = _padded(image.transpose(1, 2, 0))
    more = {"seed": int(key[0])} if corruption in SEEDED else {}
    with _seeded(key), contextlib.redirect_stdout(io.StringIO()):  # the package prints where sizes surprise it
        found: Pixels = corrupt(padded, severity=severity, corruption_name=corruption, **more)[cut]
    if image.shape[0] == 3:
        return found.transpose(2, 0, 1)
    grey = found[..., 0] if corruption in INDEPENDENT else np.asarray(Image.fromarray(found).convert("L"))
    return grey[None]


def plan(data: Dataset, spec: CorruptSpec, clean_hash: str) -> Corrupted:
    """What :func:`images` makes of a data set; raises where there is nothing to make, or of images it cannot take."""
    chosen = spec.inputs.indices(len(data))
    if not chosen:
        got = f"none from index {spec.inputs.start} on"
        raise InvalidSpec(expected=f"at least one input of a data set of {len(data):,}", got=got, where="inputs")
    check_source(data.shape, data.corrupted is not None, data.name)
    _library()
    return Corrupted(
        groups=in_a_row(spec.kinds, len(chosen)),
        constants=IMAGENET_C,
        library=LIBRARY,
        version=version(LIBRARY),
        revision=REVISION,
        seed=spec.seed,
        clean_hash=clean_hash,
        inputs=spec.inputs,
        padded=min(data.shape[1:]) < SMALLEST_SIDE,
        rounded=data.images.dtype != np.uint8 and any(not on_grid(data.stored_pixels([index])) for index in chosen),
    )


def images(data: Dataset, corrupted: Corrupted) -> Iterator[Pixels]:
    """The corrupted images, uint8 (C, H, W), group by group, one at a time."""
    assert corrupted.inputs is not None and corrupted.seed is not None
    chosen = corrupted.inputs.indices(len(data))
    for group in corrupted.groups:
        for index in chosen:
            image = _eight_bit(data.stored_pixels([index])[0])
            yield corrupt_image(image, group.corruption, group.severity, seed=corrupted.seed, index=index)


def _library() -> Callable[..., Any]:
    try:
        version(LIBRARY)
        from imagecorruptions import corrupt

        found: Callable[..., Any] = corrupt
    except (PackageNotFoundError, ImportError) as error:
        raise MissingPackage(
            expected=f"the package {LIBRARY}, which makes corrupted images: `pip install 'radii[corruptions]'`, then "
            f"`pip install --no-deps {LIBRARY}`",
            got=f"an installation where it cannot be imported ({error})"[:300],
        ) from None
    return found


def _frost_key(seed: int, index: int, severity: int) -> NDArray[np.uint32]:
    """A key with which the package draws one of the five textures of ImageNet-C.

    The package draws from six with its first random number. Keys are tried in turn until that number is one of the first
    five, which leaves each of these equally likely and all else as it is.
    """
    for attempt in itertools.count():
        key = _key(seed, index, "frost", severity, attempt)
        with _seeded(key):
            if np.random.randint(TEXTURES_OF_THE_PACKAGE) < TEXTURES:
                return key
    raise AssertionError


def _key(seed: int, index: int, corruption: str, severity: int, attempt: int = 0) -> NDArray[np.uint32]:
    """Eight words that name one image's randomness."""
    name = (f"{seed}/{index}/{corruption}/{severity}" + (f"/{attempt}" if attempt else "")).encode()
    return np.frombuffer(hashlib.sha256(name).digest(), dtype="<u4").astype(np.uint32)


@contextlib.contextmanager
def _seeded(key: NDArray[np.uint32]) -> Iterator[None]:
    """The global generators of NumPy and Python begin at ``key``, and are afterwards where they were."""
    numpys, pythons = np.random.get_state(), random.getstate()
    try:
        np.random.seed(key)
        random.seed(key.tobytes())
        yield
    finally:
        np.random.set_state(numpys)
        random.setstate(pythons)


def _padded(image: Pixels) -> tuple[Pixels, tuple[slice, slice]]:
    """An image (H, W, C) as large as the package wants it, and where in it the image is."""
    sides = [max(0, SMALLEST_SIDE - side) for side in image.shape[:2]]
    before = [missing // 2 for missing in sides]
    around = [(first, missing - first) for first, missing in zip(before, sides, strict=True)]
    top, left = (slice(first, first + side) for first, side in zip(before, image.shape[:2], strict=True))
    return np.pad(image, [*around, (0, 0)], mode="edge"), (top, left)


def _eight_bit(image: NDArray[Any]) -> Pixels:
    return image if image.dtype == np.uint8 else np.rint(image * GRID).astype(np.uint8)
