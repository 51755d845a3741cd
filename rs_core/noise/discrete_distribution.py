"""The law of Gaussian noise on the 8-bit grid, as numbers: whole steps of 1/255 with

    P(z = i) = Phi((i + 1/2) / (255 sigma)) - Phi((i - 1/2) / (255 sigma)),

tabulated in units of 2^-64 from 40 decimal digits. What it is for and how it is drawn is told in ``radii.rs_core.noise.discrete``.
"""

import math

from scipy.special import ndtr

from radii.rs_core.noise.pixel_grid import GRID

DEVIATIONS = 8.3
"""How far the table goes, in units of sigma: both tails together hold 1.1e-16, and are given to the last steps."""


def reach(sigma: float) -> int:
    """The largest step that is drawn."""
    return math.ceil(DEVIATIONS * GRID * sigma) + 1


def cumulative(sigma: float) -> list[int]:
    """2^64 P(z <= i), rounded, for i from -reach to reach - 1; at the last step, reach, it is 2^64."""
    import mpmath

    with mpmath.workdps(40):
        width = GRID * mpmath.mpf(sigma)
        lower = [
            int(mpmath.nint(2**64 * mpmath.ncdf((i + mpmath.mpf("0.5")) / width))) for i in range(-reach(sigma), 0)
        ]
    return [*lower, *(2**64 - bound for bound in reversed(lower))]


def neglected(sigma: float, pixels: int) -> float:
    """By how much the probability of any event under the noise that is drawn, on so many pixel values, may differ from
    that under the exact noise: the tails beyond the table, and its last bits."""
    return pixels * (2 * float(ndtr(-DEVIATIONS)) + 2 * reach(sigma) * 2.0**-64)
