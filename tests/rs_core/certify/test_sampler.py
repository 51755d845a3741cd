"""Counting votes: bounded memory, full-shape batches, and parts whose votes depend on nothing but their stream."""

import pytest
import torch
from torch import Tensor, nn

from radii.rs_core.certify.sampler import NoiseChunk, Sampler, whole_parts
from radii.rs_core.errors import Mismatch, NotFinite
from radii.rs_core.noise.streams import CHUNK, Stage

X = torch.zeros(1, 4, 4)


class Recording(nn.Module):
    """Classifies by the sign of the mean pixel, and notes the shape of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.append(tuple(x.shape))
        mean = x.flatten(1).mean(1)
        return torch.stack([-mean, mean, torch.full_like(mean, -9.0)], dim=1)


def _part(number: int, rows: int = CHUNK, *, index: int = 6, counts_row: int = 0) -> NoiseChunk:
    return NoiseChunk(x=X, index=index, stage=Stage.ESTIMATION, number=number, rows=rows, counts_row=counts_row)


def _sampler(model: nn.Module, batch_size: int = 100, **more: object) -> Sampler:
    sampler = Sampler(model, 1.0, 3, seed=4, batch_size=batch_size, **more)  # type: ignore[arg-type]
    sampler.prepare(X)
    sampler.begin_counts(2)
    return sampler


def _counted(sampler: Sampler, parts: list[NoiseChunk]) -> list[list[int]]:
    """The counts after all parts, filled into batches as they come."""
    while parts:
        batch: dict[int, NoiseChunk] = {}
        while parts and (place := sampler.place(parts[0], batch)) is not None:
            batch[place] = parts.pop(0)
        sampler.count(batch)
    return sampler.read()


def _hundreds(count: int) -> list[NoiseChunk]:
    return [_part(number) for number in range(count)]


def test_every_sample_is_counted_once() -> None:
    assert [sum(counts) for counts in _counted(_sampler(Recording()), _hundreds(10))] == [1_000, 0]


@pytest.mark.parametrize(("batch_size", "shape"), [(20, 20), (64, 50), (100, 100), (250, 200), (1_000, 1_000)])
def test_every_pass_has_one_shape_of_whole_parts_or_a_whole_part_of_one(batch_size: int, shape: int) -> None:
    model = Recording()
    _counted(_sampler(model, batch_size), [*_hundreds(9), _part(9, rows=7)])
    assert set(model.shapes) == {(shape, 1, 4, 4)}


def test_batches_are_brought_down_to_whole_parts() -> None:
    asked = (1, 3, 7, 19, 33, 99, 100, 199, 200, 1_024)
    assert [whole_parts(size) for size in asked] == [1, 2, 5, 10, 25, 50, 100, 100, 200, 1_000]


@pytest.mark.parametrize("batch_size", [1, 7, 64, 100, 250, 1_500])
def test_counts_do_not_depend_on_the_batch(batch_size: int) -> None:
    wanted = _counted(_sampler(Recording()), [*_hundreds(10), _part(10, rows=31)])
    assert _counted(_sampler(Recording(), batch_size), [*_hundreds(10), _part(10, rows=31)]) == wanted


def test_counts_do_not_depend_on_what_else_is_in_the_batch() -> None:
    mine, others = _hundreds(3), [_part(number, index=7, counts_row=1) for number in range(3)]
    alone = [_counted(_sampler(Recording()), list(parts))[row] for row, parts in enumerate((mine, others))]
    mixed = [others[0], mine[0], mine[1], others[1], others[2], mine[2]]
    assert _counted(_sampler(Recording(), 400), mixed) == alone
    assert alone[0] != alone[1]


class Uneven(Recording):
    """A network whose kernels do other things in other places of a batch, as far as its last bits go."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1e-7 * torch.arange(len(x)).div(CHUNK, rounding_mode="floor")[:, None]


def test_where_places_differ_each_part_of_a_stream_has_its_own() -> None:
    even, uneven = _sampler(Recording(), 300), _sampler(Uneven(), 300)
    assert [even.place(_part(5), taken) for taken in ((), (0,), (0, 1), (0, 1, 2))] == [0, 1, 2, None]
    first = uneven.place(_part(0), ())
    assert [uneven.place(_part(number), ()) for number in range(4)] == [(first + number) % 3 for number in range(4)]  # type: ignore[operator]
    assert uneven.place(_part(3), (first,)) is None  # type: ignore[arg-type]
    assert uneven.place(_part(0, index=7), ()) == (first + 1) % 3, "inputs do not all begin in one place"  # type: ignore[operator]


def test_the_model_is_in_evaluation_mode_and_gets_no_gradient() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.99), nn.Linear(16, 3)).train()
    x = torch.zeros(1, 4, 4, requires_grad=True)
    sampler = _sampler(model)
    sampler.count({0: NoiseChunk(x=x, index=0, stage=Stage.ESTIMATION, number=0, rows=10, counts_row=0)})
    assert not model.training
    assert x.grad is None


def test_noise_is_never_clipped() -> None:
    seen: list[Tensor] = []

    class Keeping(Recording):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.clone())
            return super().forward(x)

    _counted(_sampler(Keeping()), _hundreds(1))
    assert torch.cat(seen).min() < -2
    assert torch.cat(seen).max() > 2


def test_discrete_noise_leaves_every_pixel_on_the_grid() -> None:
    seen: list[Tensor] = []

    class Keeping(Recording):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.clone())
            return super().forward(x)

    sampler = Sampler(Keeping(), 0.25, 3, noise="discrete")
    sampler.begin_counts(1)
    x = sampler.prepare(torch.arange(16.0).view(1, 4, 4) / 255)
    sampler.count({0: NoiseChunk(x=x, index=0, stage=Stage.ESTIMATION, number=0, rows=CHUNK, counts_row=0)})
    (batch,) = seen
    steps = (batch * 255).round()
    assert torch.equal(steps / 255, batch), "the very numbers that an image of 8 bits has"
    assert (steps - torch.arange(16.0).view(1, 4, 4)).std() == pytest.approx(0.25 * 255, rel=0.1)


def test_discrete_noise_on_an_image_that_is_not_on_the_grid_is_refused() -> None:
    sampler = Sampler(Recording(), 0.25, 3, noise="discrete")
    with pytest.raises(Mismatch, match=r"whole multiples of 1/255, for noise = discrete, got one that is 0.5 steps"):
        sampler.prepare(torch.full((1, 4, 4), 10.5 / 255))


def test_logits_of_another_width_are_refused() -> None:
    with pytest.raises(Mismatch, match=r"expected logits of shape \(100, 3\).*got \(100, 5\)"):
        _counted(_sampler(nn.Sequential(nn.Flatten(), nn.Linear(16, 5))), _hundreds(1))


def test_logits_that_are_no_numbers_are_refused() -> None:
    broken = nn.Linear(16, 3)
    nn.init.constant_(broken.weight, float("nan"))
    with pytest.raises(NotFinite, match="finite logits"):
        _counted(_sampler(nn.Sequential(nn.Flatten(), broken)), _hundreds(1))
