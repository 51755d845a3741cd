"""Keyed noise: every random draw of a job comes from a stream with a name, never from a shared generator.

A stream is named by four whole numbers: (job seed, index, stage, part). The same name gives the same draws on the same
kind of device, so work that is redone after a crash, or done by another worker, is the same work; different names give
streams that are independent for every practical purpose, so selection and estimation never share noise.

The name is hashed by ``numpy.random.SeedSequence`` (O'Neill 2014/2015, PCG's seeding) into the *whole* state of torch's
CPU generator: ``manual_seed`` would keep 32 bits of it and make tens of thousands of pairs among 10^7 streams equal.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch

from radii.rs_core.noise import discrete
from radii.rs_core.specs.fields import Noise

CHUNK = 100
"""Noise samples per part of a stream: fixed, so that it depends on neither the forward batch nor the machine."""

_MT19937_WORDS = 624
_WORDS_PER_NUMBER = 2


class Stage(IntEnum):
    """What a stream is for. The numbers are part of stored results: append, never renumber."""

    SELECTION = 0
    ESTIMATION = 1
    PREDICTION = 2
    INITIAL_WEIGHTS = 3
    ORDER = 4
    AUGMENTATION = 5
    TRAINING = 6
    TEST = 7
    LAYERS = 8
    SOFT_LABELS = 9
    LABEL_VIEW = 10
    CHECK_SELECTION = 11
    CHECK_ESTIMATION = 12
    PLANNING = 13
    ATTACK = 14
    ATTACK_DIRECTION = 15
    VOTES_FOUND = 16
    SELECTION_FOUND = 17


def generator(
    seed: int, index: int, stage: Stage, part: int = 0, *, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A generator that stands at the beginning of the stream (seed, index, stage, part); numbers in [0, 2^64)."""
    sequence = np.random.SeedSequence(_words(seed, index, int(stage), part))
    if torch.device(device).type == "cpu":
        return _cpu_generator(sequence)
    high, low = (int(word) for word in sequence.generate_state(_WORDS_PER_NUMBER, np.uint32))
    # The CUDA generator is counter-based and keeps all 64 bits of its seed.
    return torch.Generator(device).manual_seed((high << 32 | low) & (2**63 - 1))


def fill(
    out: torch.Tensor, part: int, *, sigma: float, seed: int, index: int, stage: Stage, noise: Noise = "gaussian"
) -> None:
    """Fills ``out`` (CHUNK, ...) float32 with one part of a stream: its noise samples ``CHUNK * part`` and following, of
    N(0, sigma^2), or of the discrete noise of that level in whole steps of 1/255.

    A part is always drawn whole. Images (CHUNK, C, H, W) are drawn pixel by pixel, all channels of one after the other,
    whatever order they have in memory; channels-last is the fast one.
    """
    pixels = out.movedim(1, -1) if out.dim() == 4 else out
    stream = generator(seed, index, stage, part, device=out.device)
    drawn = pixels if pixels.is_contiguous() else torch.empty(pixels.shape, device=out.device)
    if noise == "discrete":
        discrete.fill(drawn, sigma, stream)
    else:
        drawn.normal_(0.0, sigma, generator=stream)
    if drawn is not pixels:
        pixels.copy_(drawn)


def _words(*numbers: int) -> list[int]:
    """Each number as two 32-bit words, so that no two names spell the same list."""
    for number in numbers:
        if not 0 <= number < 2**64:
            raise ValueError(f"expected a whole number in [0, 2^64) in the name of a stream, got {number}")
    return [word for number in numbers for word in (number & 0xFFFFFFFF, number >> 32)]


def _cpu_generator(sequence: np.random.SeedSequence) -> torch.Generator:
    """torch's CPU generator with all 624 words of its Mersenne twister taken from ``sequence``."""
    stream = torch.Generator()
    state = stream.get_state().numpy().copy()
    header = np.array([0, 1 | 1 << 32, 0], dtype=np.uint64)  # initial seed; left = 1, seeded = 1; next = 0
    words = sequence.generate_state(_MT19937_WORDS, np.uint32)
    words[0] |= np.uint32(0x80000000)  # never the all-zero state, from which the twister cannot leave
    filled = np.concatenate([header, words.astype(np.uint64)]).view(np.uint8)
    state[: len(filled)] = filled
    state[len(filled) :] = 0
    stream.set_state(torch.from_numpy(state))
    return stream


@contextmanager
def layer_randomness(seed: int, epoch: int, step: int, device: torch.device) -> Iterator[None]:
    """Layers that draw for themselves (dropout) draw from this step's own stream; the caller's generator is left alone."""
    on_cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.set_rng_state(generator(seed, epoch, Stage.LAYERS, step).get_state())
        if on_cuda:
            torch.cuda.set_rng_state(generator(seed, epoch, Stage.LAYERS, step, device=device).get_state(), device)
        yield


def draw(x: torch.Tensor, m: int, sigma: float, stream: torch.Generator) -> torch.Tensor:
    """m noise samples for each image of a training batch: x (B, C, H, W) -> (m, B, C, H, W) of N(0, sigma^2)."""
    return sigma * torch.randn((m, *x.shape), generator=stream, device=x.device)


def noisy(x: torch.Tensor, noises: torch.Tensor) -> torch.Tensor:
    """All noisy copies of a batch, copy by copy: x (B, C, H, W), noises (m, B, C, H, W) -> (m * B, C, H, W).

    Labels for it are ``y.repeat(m)``. Nothing is clamped: a noisy image may leave [0, 1].
    """
    return (x + noises).flatten(0, 1)


def by_copy(rows: torch.Tensor, m: int) -> torch.Tensor:
    """What :func:`noisy` made one of, apart again: (m * B, ...) -> (m, B, ...)."""
    return rows.view(m, -1, *rows.shape[1:])
