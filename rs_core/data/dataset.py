"""A data set ready for use: images, labels and the names of its classes.

Images stay as they were stored (uint8, or float32 in [0, 1]) in one NumPy array, which may lie in memory or be mapped
from a file (``memmap``), and become float32 tensors in [0, 1] when they are asked for: torch is not loaded before, so that
a conversion does not wait for it. A mapped data set goes to another process as the place of its images. Reading is left
to ``load`` and ``dataset_file``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.data.corruption_info import Corrupted
from radii.rs_core.data.dataset_info import UNKNOWN_LABEL, Shape, check_counts, check_labels
from radii.rs_core.data.ignored_files import SkippedMembers
from radii.rs_core.data.image_checks import check_layout, check_range
from radii.rs_core.data.memmap import ConcatenatedFiles, FileRegion, place, take

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Images (N, C, H, W), uint8 or float32 in [0, 1]; labels (N,) int64 in 0 .. num_classes - 1, or -1 where none is known.

    ``source`` is the format that it was read from; ``corrupted`` says which images have which corruption;
    ``skipped`` are entries of its archive that are no data.
    """

    images: NDArray[Any] | ConcatenatedFiles
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    name: str
    source: str = ""
    corrupted: Corrupted | None = None
    skipped: SkippedMembers | None = None

    def __post_init__(self) -> None:
        """Refuses arrays that are no dataset; pixels are checked as they are taken, since there may be very many."""
        check_layout(self.images, self.name)
        check_counts(len(self.images), len(self.labels), self.name)
        check_labels(self.labels, len(self.class_names), self.name, least=UNKNOWN_LABEL)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """Number of classes, those without an image included."""
        return len(self.class_names)

    @property
    def shape(self) -> Shape:
        """(C, H, W) of one image."""
        _, c, h, w = self.images.shape
        return c, h, w

    def stored_pixels(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[Any]:
        """A copy of the images at ``indices`` as they are stored: (B, C, H, W), uint8 or float32 in [0, 1].

        Everything that uses single images takes them from here. A stored dataset may be older than the check of all
        pixels, or be written by somebody else, so the pixels are checked each time.

        Raises:
            InvalidDataset: A pixel is NaN, infinite or outside [0, 1].
            IndexError: An index is outside of the dataset.
        """
        pixels = take(self.images, np.asarray(indices, dtype=np.int64))
        if pixels.dtype != np.uint8:
            check_range(pixels, self.name)
        return pixels

    def image(self, index: int) -> "Tensor":
        """Image ``index``: float32 (C, H, W) in [0, 1]."""
        return _tensor(self.stored_pixels([index]))[0]

    def batch(self, indices: "Sequence[int] | NDArray[np.int64] | Tensor") -> "tuple[Tensor, Tensor]":
        """Images float32 (B, C, H, W) in [0, 1] and labels int64 (B,), in the order of ``indices``."""
        import torch

        chosen = np.asarray(indices, dtype=np.int64)
        return _tensor(self.stored_pixels(chosen)), torch.from_numpy(self.labels[chosen])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"images": place(self.images) or self.images}

    def __setstate__(self, state: dict[str, Any]) -> None:
        images = state["images"]
        self.__dict__.update(state | {"images": images.open() if isinstance(images, FileRegion) else images})


def _tensor(stored: NDArray[Any]) -> "Tensor":
    """Stored pixels as float32 in [0, 1]."""
    import torch

    pixels = torch.from_numpy(stored)
    return pixels.to(torch.float32).div_(255) if stored.dtype == np.uint8 else pixels
