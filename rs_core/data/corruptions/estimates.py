"""About how long corrupting images takes, for a service that must say so before it begins. Torch-free.

Each corruption is timed at two sizes, and taken to be linear in the number of pixels; what is smaller than the package takes is
padded to it (``corruptions``), and so takes as long as the smaller of the two.
"""

from collections.abc import Iterable, Sequence

MILLISECONDS = {
    "gaussian_noise": (0.46, 4.0),
    "shot_noise": (0.57, 9.1),
    "impulse_noise": (0.51, 3.4),
    "defocus_blur": (0.62, 4.0),
    "glass_blur": (2.1, 10.8),
    "motion_blur": (1.1, 7.3),
    "zoom_blur": (2.3, 76.0),
    "snow": (1.0, 8.4),
    "frost": (6.6, 6.6),
    "fog": (0.76, 3.6),
    "brightness": (0.83, 17.0),
    "contrast": (0.57, 2.3),
    "elastic_transform": (1.1, 13.0),
    "pixelate": (0.51, 0.98),
    "jpeg_compression": (0.73, 1.4),
    "speckle_noise": (0.55, 3.4),
    "gaussian_blur": (0.68, 3.7),
    "spatter": (0.91, 4.8),
    "saturate": (0.99, 18.0),
}
"""Of one colour image of 32x32 and one of 224x224 pixels, the mean of the five severities, on one core of an Intel Xeon (two
virtual cores, 2026) with imagecorruptions-imaug. Frost reads its textures from the disk, whatever the size."""
SMALL, LARGE = 32 * 32, 224 * 224


def seconds(corruptions: Iterable[str], each: int, sides: Sequence[int]) -> float:
    """Of ``each`` images of ``sides`` (height, width) under every one of ``corruptions``, in which those come once for each
    severity."""
    pixels = max(sides[0], 32) * max(sides[1], 32)
    share = (pixels - SMALL) / (LARGE - SMALL)
    pairs = [MILLISECONDS[name] for name in corruptions]
    return sum(small + share * (large - small) for small, large in pairs) * each / 1000
