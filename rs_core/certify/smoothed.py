"""The smoothed classifier of Cohen et al. 2019 (arXiv 1902.02918) as one object, for use from Python.

``g(x) = argmax_c P(f(x + d) = c)`` with ``d ~ N(0, sigma^2 I)`` and ``f`` the base classifier. Many inputs, files and
interrupted work are the engine's business; this is its smallest front.
"""

import itertools
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from rs_core.certify import engine
from rs_core.certify.decision import UNKNOWN_LABEL, Certificate, Prediction
from rs_core.certify.procedure import Procedure
from rs_core.certify.sampling import Sampler
from rs_core.errors import InvalidSpec
from rs_core.spec import DEFAULT_BATCH, MAX_ALPHA

Record = TypeVar("Record", Certificate, Prediction)


class SmoothedClassifier:
    """A base classifier under Gaussian noise.

    ``base_classifier``: module from (B, C, H, W) in [0, 1] pixels to logits (B, num_classes), any normalisation being
    its first layer; ``sigma``: noise level in pixel units; ``seed`` names the noise streams, and ``index`` those of one
    input within it: equal seed, index and image give equal counts, and without an index each call takes the next number,
    so that no two inputs share their noise. ``batch_size`` bounds the memory.
    """

    def __init__(
        self,
        base_classifier: nn.Module,
        sigma: float,
        num_classes: int,
        *,
        seed: int = 0,
        batch_size: int = DEFAULT_BATCH,
    ) -> None:
        if not sigma > 0:
            raise InvalidSpec(expected="a noise level sigma above 0", got=repr(sigma), where="sigma")
        if num_classes < 2:
            raise InvalidSpec(expected="at least 2 classes", got=repr(num_classes), where="num_classes")
        self._sampler = Sampler(base_classifier, sigma, num_classes, seed=seed, batch_size=batch_size)
        self._calls = itertools.count()

    def certify(
        self,
        x: Tensor,
        n0: int = 100,
        n: int = 100_000,
        alpha: float = 0.001,
        *,
        index: int | None = None,
        label: int = UNKNOWN_LABEL,
    ) -> Certificate:
        """Class and l2 radius of ``x`` (C, H, W), true with probability at least 1 - alpha; or an abstention."""
        _check(x, alpha, n0=n0, n=n)
        inputs = [(self._named(index), x, label)]
        procedure = Procedure(sigma=self._sampler.sigma, n0=n0, n=n, alpha=alpha)
        return _last(engine.certify(self._sampler, inputs, procedure), Certificate)

    def predict(
        self, x: Tensor, n: int = 1_000, alpha: float = 0.001, *, index: int | None = None, label: int = UNKNOWN_LABEL
    ) -> Prediction:
        """The smoothed classifier's class at ``x`` (C, H, W), wrong with probability at most alpha; or an abstention."""
        _check(x, alpha, n=n)
        return _last(engine.predict(self._sampler, [(self._named(index), x, label)], n=n, alpha=alpha), Prediction)

    def _named(self, index: int | None) -> int:
        return next(self._calls) if index is None else index


def _check(x: Tensor, alpha: float, **samples: int) -> None:
    if x.dim() != 3 or not torch.is_floating_point(x):
        raise InvalidSpec(expected="one image, floating point (C, H, W)", got=f"{x.dtype} {tuple(x.shape)}", where="x")
    if not 0 < alpha <= MAX_ALPHA:
        raise InvalidSpec(expected=f"a failure probability in (0, {MAX_ALPHA}]", got=repr(alpha), where="alpha")
    for name, value in samples.items():
        if value < 1:
            raise InvalidSpec(expected="at least 1 noise sample", got=repr(value), where=name)


def _last(records: Iterable[object], kind: type[Record]) -> Record:
    """The one record of ``kind`` that the engine yields for one input."""
    return next(record for record in records if isinstance(record, kind))
