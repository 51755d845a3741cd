"""Gaussian noise on the 8-bit grid, drawn exactly: whole steps of 1/255 with

    P(z = i) = Phi((i + 1/2) / (255 sigma)) - Phi((i - 1/2) / (255 sigma)),

which is Gaussian noise that is rounded after it was added to an image whose pixels are whole steps themselves. Rounding is
part of what follows the noise, so that the theorem of Cohen et al. 2019 (arXiv 1902.02918) holds for the rounding and the
network together, for every image on the grid; and since the sum is a whole number, it is the same in any floating-point
arithmetic. Attacks on certificates by way of the rounding of floating-point noise (Jin, Ohrimenko & Rubinstein 2022, "Getting
a-Round Guarantees", arXiv 2205.10159) have nothing to work with.

The cumulative distribution (``discrete_distribution``) is inverted at 64 random bits.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from radii.rs_core.errors import Mismatch
from radii.rs_core.noise.discrete_distribution import cumulative, reach
from radii.rs_core.noise.pixel_grid import GRID, OFF_GRID

TOP_BITS = 16
"""Bits of a random number that mostly settle which step it stands for."""

_HALF = 2**63


@dataclass(frozen=True, kw_only=True, eq=False)
class StepTable:
    """``bounds``: random numbers (as signed 64-bit integers) below ``bounds[i]`` stand for steps up to ``first + i``;
    ``step`` and ``open`` by the highest bits: the step, and whether the lower bits matter. On one device."""

    first: int
    bounds: torch.Tensor
    step: torch.Tensor
    open: torch.Tensor

    def steps(self, bits: torch.Tensor) -> torch.Tensor:
        """The steps, as float32, that random 64-bit integers stand for."""
        if bits.is_cuda:  # to pick out some of them would make the host wait
            return (torch.searchsorted(self.bounds, bits, right=True) + self.first).to(torch.float32)
        top = (bits >> (64 - TOP_BITS)) + 2 ** (TOP_BITS - 1)
        found = self.step[top]
        unsettled = self.open[top].nonzero().squeeze(1)
        exact = torch.searchsorted(self.bounds, bits[unsettled], right=True) + self.first
        found[unsettled] = exact.to(torch.float32)
        return found


def fill(out: torch.Tensor, sigma: float, stream: torch.Generator) -> None:
    """Fills contiguous ``out`` (float32) with noise in whole steps: multiply by 1/255 for [0, 1]-pixel units."""
    bits = torch.empty(out.numel(), dtype=torch.int64, device=out.device)
    bits.random_(-_HALF, None, generator=stream)
    out.copy_(table(sigma, str(out.device)).steps(bits).view(out.shape))


def on_grid(x: torch.Tensor) -> torch.Tensor:
    """An image in [0, 1] as whole steps, float32; raises :class:`Mismatch` where it is not on the 8-bit grid."""
    steps = (x * GRID).round()
    off = float((x * GRID - steps).abs().max())
    if off > OFF_GRID:
        raise Mismatch(
            expected="pixels that are whole multiples of 1/255, for noise = discrete",
            got=f"one that is {off:.3g} steps of 1/255 away from the nearest",
            where="dataset",
        )
    return steps


@lru_cache(maxsize=4)
def table(sigma: float, device: str) -> StepTable:
    """The table of a noise level."""
    signed = np.array([min(bound, 2**64 - 1) - _HALF for bound in cumulative(sigma)], dtype=np.int64)
    # The steps at both ends of each range of numbers that share their highest bits.
    shift = 64 - TOP_BITS
    lows = (np.arange(2**TOP_BITS, dtype=np.int64) - 2 ** (TOP_BITS - 1)) << shift
    low, high = (np.searchsorted(signed, ends, side="right") for ends in (lows, lows + (2**shift - 1)))
    return StepTable(
        first=-reach(sigma),
        bounds=torch.from_numpy(signed).to(device),
        step=torch.from_numpy((low - reach(sigma)).astype(np.float32)).to(device),
        open=torch.from_numpy(low != high).to(device),
    )
