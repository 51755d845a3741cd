"""Discrete noise has the distribution that it says it has, exactly."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from radii.rs_core.errors import Mismatch
from radii.rs_core.noise import discrete
from radii.rs_core.noise.discrete_distribution import cumulative, neglected, reach
from radii.rs_core.noise.pixel_grid import GRID


@pytest.mark.parametrize("sigma", [0.01, 0.12, 0.25, 1.0])
def test_the_table_differs_from_the_exact_law_by_less_than_what_is_neglected(sigma: float) -> None:
    """Total variation, from 60 digits and with the tails; below 1e-15 a pixel."""
    bounds = [0, *cumulative(sigma), 2**64]
    difference = mpmath.mpf(0)
    with mpmath.workdps(60):

        def phi(step: float) -> mpmath.mpf:
            return mpmath.ncdf(mpmath.mpf(step) / (GRID * mpmath.mpf(sigma)))

        last = reach(sigma)
        for place, step in enumerate(range(-last, last + 1)):
            drawn = mpmath.mpf(bounds[place + 1] - bounds[place]) / 2**64
            difference += abs(drawn - (phi(step + 0.5) - phi(step - 0.5)))
        difference += 2 * phi(-last - 0.5)  # steps that are never drawn
        assert difference / 2 <= neglected(sigma, 1) < 1e-15


def test_what_is_neglected_grows_with_the_pixels() -> None:
    assert neglected(0.25, 3_072) == pytest.approx(3_072 * neglected(0.25, 1))
    assert neglected(1.0, 3 * 224 * 224) < 1e-10


def test_a_random_number_stands_for_the_step_whose_range_it_lies_in() -> None:
    """At every bound and beside it, and for a million others: the fast way gives what the table says."""
    table = discrete.table(0.25, "cpu")
    edges = torch.cat([table.bounds, table.bounds - 1, torch.tensor([-(2**63), 2**63 - 1])])
    stream = torch.Generator().manual_seed(0)
    bits = torch.cat([edges, torch.empty(10**6, dtype=torch.int64).random_(-(2**63), None, generator=stream)])
    exact = torch.searchsorted(table.bounds, bits, right=True) + table.first
    assert torch.equal(table.steps(bits), exact.float())
    assert table.steps(torch.tensor([-(2**63), 2**63 - 1])).tolist() == [-reach(0.25), reach(0.25)]


def test_draws_have_the_law_of_rounded_gaussian_noise() -> None:
    """Chi-square over all steps that are expected often, of 10^6 draws; false alarm 1e-4, and the seed is fixed."""
    sigma, draws = 0.05, 10**6
    out = torch.empty(draws)
    discrete.fill(out, sigma, torch.Generator().manual_seed(3))
    steps, found = np.unique(out.numpy().astype(int), return_counts=True)
    exact = np.array(
        [
            0.5 * (math.erf((i + 0.5) / (GRID * sigma * 2**0.5)) - math.erf((i - 0.5) / (GRID * sigma * 2**0.5)))
            for i in steps
        ]
    )
    often = exact * draws > 20
    counts = np.append(found[often], found[~often].sum())
    wanted = draws * np.append(exact[often], 1 - exact[often].sum())
    assert chisquare(counts, wanted).pvalue > 1e-4


def test_a_table_of_rounded_single_precision_normals_would_be_another_law() -> None:
    """What the exact table is for: 24 bits of a float cannot tell the tails apart that 64 bits can."""
    sigma = 0.25
    least = cumulative(sigma)[0]
    assert 0 < least / 2**64 < 2**-53


def test_an_image_of_8_bits_is_on_the_grid_however_it_is_stored() -> None:
    steps = torch.arange(256.0).view(1, 16, 16)
    for stored in (steps / 255, steps * (1 / 255), (steps.double() / 255).float()):
        assert torch.equal(discrete.on_grid(stored), steps)
    with pytest.raises(Mismatch, match="whole multiples of 1/255"):
        discrete.on_grid(torch.full((1, 2, 2), 0.3))
