"""Counting votes: bounded memory, full-shape batches, and cuts that leave no trace."""

import pytest
import torch
from torch import Tensor, nn

from rs_core.certify.sampling import Sampler, Votes
from rs_core.errors import Mismatch, NotFinite
from rs_core.noise import Stage


class Recording(nn.Module):
    """Classifies by the sign of the mean pixel, and notes the shape of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.append(tuple(x.shape))
        mean = x.flatten(1).mean(1)
        return torch.stack([-mean, mean, torch.full_like(mean, -9.0)], dim=1)


def _votes(model: nn.Module, n: int, batch_size: int = 64, resume: Votes | None = None) -> list[Votes]:
    sampler = Sampler(model, 1.0, 3, seed=4, batch_size=batch_size)
    return list(sampler.votes(torch.zeros(1, 4, 4), n, Stage.ESTIMATION, index=6, resume=resume))


def test_every_sample_is_counted_once() -> None:
    assert sum(_votes(Recording(), 1_000)[-1].counts) == 1_000


def test_memory_is_bounded_by_the_batch_whatever_n() -> None:
    model = Recording()
    _votes(model, 1_000, batch_size=64)
    assert set(model.shapes) == {(64, 1, 4, 4)}


@pytest.mark.parametrize("batch_size", [1, 7, 64, 100, 250, 1_500])
def test_counts_do_not_depend_on_the_batch(batch_size: int) -> None:
    assert _votes(Recording(), 1_000, batch_size)[-1].counts == _votes(Recording(), 1_000, 100)[-1].counts


def test_a_count_cut_anywhere_continues_with_the_same_votes() -> None:
    whole = _votes(Recording(), 1_000)
    for cut in whole:
        assert _votes(Recording(), 1_000, resume=cut)[-1:] in ([whole[-1]], [])


def test_the_model_is_in_evaluation_mode_and_gets_no_gradient() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.99), nn.Linear(16, 3)).train()
    sampler = Sampler(model, 0.1, 3)
    x = torch.zeros(1, 4, 4, requires_grad=True)
    list(sampler.votes(x, 10, Stage.ESTIMATION, index=0))
    assert not model.training
    assert x.grad is None


def test_noise_is_never_clipped() -> None:
    seen: list[Tensor] = []

    class Keeping(Recording):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.clone())
            return super().forward(x)

    _votes(Keeping(), 100)
    assert torch.cat(seen).min() < -2
    assert torch.cat(seen).max() > 2


def test_logits_of_another_width_are_refused() -> None:
    with pytest.raises(Mismatch, match=r"expected logits of shape \(64, 3\).*got \(64, 5\)"):
        _votes(nn.Sequential(nn.Flatten(), nn.Linear(16, 5)), 10)


def test_logits_that_are_no_numbers_are_refused() -> None:
    broken = nn.Linear(16, 3)
    nn.init.constant_(broken.weight, float("nan"))
    with pytest.raises(NotFinite, match="finite logits"):
        _votes(nn.Sequential(nn.Flatten(), broken), 10)
