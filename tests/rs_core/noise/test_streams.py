"""Streams with a name: equal names repeat, different names differ, and cuts do not matter."""

import numpy as np
import pytest
import torch

from radii.rs_core.noise.streams import CHUNK, Stage, fill, generator, layer_randomness


def _draw(*, seed: int = 1, index: int = 2, stage: Stage = Stage.ESTIMATION, part: int = 0) -> torch.Tensor:
    return torch.randn(64, generator=generator(seed, index, stage, part))


def test_the_same_name_gives_the_same_draws() -> None:
    assert torch.equal(_draw(), _draw())


@pytest.mark.parametrize("other", [{"seed": 3}, {"index": 3}, {"stage": Stage.SELECTION}, {"part": 1}])
def test_another_name_gives_other_draws(other: dict[str, int]) -> None:
    assert not torch.equal(_draw(), _draw(**other))  # type: ignore[arg-type]


@pytest.mark.parametrize("number", ["seed", "index", "part"])
def test_names_that_are_equal_modulo_two_to_the_32_differ(number: str) -> None:
    assert not torch.equal(_draw(**{number: 5}), _draw(**{number: 5 + 2**32}))  # type: ignore[arg-type]


def test_shifting_numbers_between_places_gives_another_name() -> None:
    assert not torch.equal(_draw(seed=0, index=1), _draw(seed=2**32, index=0))
    assert not torch.equal(_draw(seed=1, index=0), _draw(seed=0, index=1))


def test_all_624_words_of_the_generator_come_from_the_name() -> None:
    words = np.random.SeedSequence([1, 0, 2, 0, int(Stage.ESTIMATION), 0, 0, 0]).generate_state(624, np.uint32)
    words[0] |= np.uint32(0x80000000)
    twister = np.random.MT19937()
    twister.state = {"bit_generator": "MT19937", "state": {"key": words, "pos": 624}}
    drawn = torch.empty(2_000, dtype=torch.int32).random_(generator=generator(1, 2, Stage.ESTIMATION))
    assert np.array_equal(drawn.numpy(), (twister.random_raw(2_000) % 2**31).astype(np.int32))


@pytest.mark.parametrize("number", [-1, 2**64])
def test_numbers_outside_64_bits_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="2\\^64"):
        generator(number, 0, Stage.SELECTION)


def test_a_part_is_the_same_draw_in_any_order_of_memory() -> None:
    stream = {"sigma": 0.5, "seed": 7, "index": 9, "stage": Stage.SELECTION}
    plain, last = torch.empty(CHUNK, 3, 5, 5), torch.empty(CHUNK, 3, 5, 5, memory_format=torch.channels_last)
    for part in (0, 1):
        fill(plain, part, **stream)  # type: ignore[arg-type]
        fill(last, part, **stream)  # type: ignore[arg-type]
        assert torch.equal(plain, last)
    other = torch.empty_like(plain)
    fill(other, 0, **stream)  # type: ignore[arg-type]
    assert not torch.equal(plain, other)


def test_samples_are_standard_normal_times_sigma() -> None:
    # 300,000 draws: |mean| and |std / sigma - 1| stay under 5 standard errors; false alarm below 2e-6, and the seed is fixed.
    sample = torch.empty(CHUNK, 3_000)
    fill(sample, 0, sigma=0.25, seed=0, index=0, stage=Stage.ESTIMATION)
    assert abs(sample.mean().item()) < 5 * 0.25 / 300_000**0.5
    assert abs(sample.std().item() / 0.25 - 1) < 5 / (2 * 300_000) ** 0.5


def test_layers_that_draw_are_keyed_by_step() -> None:
    def draws(step: int) -> torch.Tensor:
        with layer_randomness(1, 2, step, torch.device("cpu")):
            return torch.rand(3)

    before = torch.get_rng_state()
    assert torch.equal(draws(5), draws(5))
    assert not torch.equal(draws(5), draws(6))
    assert torch.equal(draws(5), torch.rand(3, generator=generator(1, 2, Stage.LAYERS, 5)))
    assert torch.equal(torch.get_rng_state(), before)
