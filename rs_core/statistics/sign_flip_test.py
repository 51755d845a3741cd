"""The exact sign-flip test: does a sum of independent differences differ from 0 by more than chance explains?

Fisher 1935, "The Design of Experiments", section 21: where each difference is as likely to be d as -d, the sum of differences
has the law of the sum of +-|d|, whose distribution is computed here in full. With differences of -1, 0 and 1 it is the exact
test of McNemar 1947. The differences of photographs are exchangeable with their negatives where the two classifiers are: the
images of one photograph may depend on each other in any way.

Of whole numbers the law has at most sum |d| + 1 values. They come from one discrete Fourier transform of the characteristic
function, after the signs were tilted so that the observed sum is the expected one (Esscher 1932): so the tail keeps its
relative accuracy, however small it is. Torch-free.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len

MOST_TILT = 700.0
"""Of exponents, beyond which a float is infinite."""
REACH = 5
"""Times the root of the sum of squares: farther from its mean W is with a probability below 2 exp(-2 x 5^2) = 4e-22 (Hoeffding
1963), so that values may be counted modulo twice that."""
NOTHING = 1e-25


def sign_flip_p_value(differences: NDArray[np.int64]) -> float:
    """The exact two-sided p-value of the sum of independent differences, whole numbers; 1 where the sum is 0.

    Args:
        differences: One for each unit, shape (units,).

    Returns:
        The probability that random signs give a sum at least as far from 0; accurate to about 1e-10 of itself.
    """
    sizes, units = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    reached = abs(int(differences.sum()))
    if not reached:
        return 1.0
    divisor = int(np.gcd.reduce(sizes))
    return min(1.0, 2 * _tail(sizes // divisor, units, reached // divisor))


def _tail(sizes: NDArray[np.int64], units: NDArray[np.int64], reached: int) -> float:
    """P(S >= reached) of S, the sum of ``units`` random signs of each of ``sizes``; ``reached`` > 0 is a value of S."""
    total = int((sizes * units).sum())
    if reached == total:
        return float(np.exp2(-float(units.sum())))
    tilt = _tilt(sizes, units, reached)
    # S = 2 W - total, with W the sum of sizes x (0 or 1), 1 with the tilted probability, so that W = first is expected.
    first = (reached + total) // 2
    reach = math.ceil(REACH * math.sqrt(float((units * sizes.astype(np.float64) ** 2).sum())))
    length = next_fast_len(min(total, 2 * reach) + 1, real=True)
    places = np.arange(first, min(total, first + reach) + 1)
    law = np.maximum(_law(sizes, units, tilt, length)[places % length], 0.0)
    log_mass = float((units * (np.logaddexp(tilt * sizes, -tilt * sizes) - np.log(2))).sum())
    weights = np.exp(np.maximum(log_mass - tilt * (2 * places - total), -MOST_TILT))
    return float((weights * law).sum())


def _law(sizes: NDArray[np.int64], units: NDArray[np.int64], tilt: float, length: int) -> NDArray[np.float64]:
    """The probability of each value of W, modulo ``length``. Frequencies to which the factors so far leave nothing are dropped."""
    frequencies, found = np.arange(length // 2 + 1), np.ones(length // 2 + 1, dtype=np.complex128)
    for place in np.argsort(-units * sizes.astype(np.float64) ** 2):
        size, up = int(sizes[place]), 1 / (1 + math.exp(-2 * tilt * int(sizes[place])))
        turns = np.exp(-2j * np.pi / length * (frequencies * size % length))
        found *= (1 - up + up * turns) ** int(units[place])
        left = np.abs(found) > NOTHING
        frequencies, found = frequencies[left], found[left]
    transform = np.zeros(length // 2 + 1, dtype=np.complex128)
    transform[frequencies] = found
    return np.asarray(irfft(transform, n=length))


def _tilt(sizes: NDArray[np.int64], units: NDArray[np.int64], reached: int) -> float:
    """The t for which the mean of sizes x tanh(t sizes), over all units, is the sum that was reached."""
    from scipy.optimize import brentq  # on use: a part of a second of every process's start

    def excess(tilt: float) -> float:
        return float((units * sizes * np.tanh(tilt * sizes)).sum()) - reached

    high = 1.0
    while excess(high) < 0:
        high *= 2
    return float(brentq(excess, 0.0, high))
