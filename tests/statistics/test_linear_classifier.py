"""A linear classifier has a radius that is known: its distance to the plane. Certificates may exceed it only rarely."""

import torch
from scipy.stats import binom
from torch import nn

from radii.rs_core.certify.smoothed_classifier import SmoothedClassifier
from radii.rs_core.records import ABSTAIN


def test_certified_radius_exceeds_the_known_one_in_no_more_than_an_alpha_share_of_runs() -> None:
    """For f(x) = sign(w.x + b) the smoothed classifier is f itself and its true radius is |w.x + b| / |w|.

    At alpha = 0.05, 400 independent inputs (own noise streams) exceed it Binomial(400, <= 0.05) often. The limit is that
    law's 1 - 1e-6 quantile, so a sound certificate raises a false alarm with probability below 1e-6.
    """
    alpha, runs = 0.05, 400
    linear = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    weight = torch.randn(16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        linear[1].weight.copy_(torch.stack([-weight, weight]))
        linear[1].bias.copy_(0.5 * torch.stack([weight.sum(), -weight.sum()]))  # the middle is grey
    x = 0.5 + 0.3 * weight / weight.norm()  # true radius 0.3
    smoothed = SmoothedClassifier(linear, 0.5, 2, seed=11)
    certificates = [smoothed.certify(x.view(1, 4, 4), 100, 1_000, alpha, index=i) for i in range(runs)]

    too_large = sum(certificate.radius > 0.3 for certificate in certificates)
    assert too_large <= binom.ppf(1 - 1e-6, runs, alpha)
    assert too_large > 0, "a bound that is never exceeded at alpha = 0.05 is not the exact bound (false alarm 2e-8)"
    assert all(certificate.prediction in (1, ABSTAIN) for certificate in certificates)
