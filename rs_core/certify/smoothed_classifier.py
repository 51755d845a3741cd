"""The smoothed classifier of Cohen et al. 2019 (arXiv 1902.02918) as one object, for use from Python.

``g(x) = argmax_c P(f(x + d) = c)`` with ``d ~ N(0, sigma^2 I)`` and ``f`` the base classifier. Datasets, files and
interrupted work are left to ``engine``; this is its smallest front.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, overload

from torch import nn

from radii.rs_core.certify import engine
from radii.rs_core.certify.argument_checks import (
    Images,
    in_order,
    labels_of,
    number_of,
    numbers_of,
    taken,
    whole_number_of,
)
from radii.rs_core.certify.procedure import Procedure
from radii.rs_core.certify.sampler import Sampler, device_of
from radii.rs_core.errors import InvalidSpec
from radii.rs_core.records import UNKNOWN_LABEL, Certificate, Prediction
from radii.rs_core.specs.jobs import DEFAULT_BATCH, MAX_ALPHA, MAX_SEED

SAMPLES = "a whole number of noise samples, at least 1"
ALPHA = f"a failure probability in (0, {MAX_ALPHA}]"


class SmoothedClassifier:
    """A base classifier under Gaussian noise (Cohen et al. 2019, arXiv 1902.02918).

    Equal seed, index and image give equal counts. The classifier is in evaluation mode while it is asked, and each of
    its modules is in its earlier mode afterwards; nothing else of it changes.

    Args:
        base_classifier: module from images (B, C, H, W) in [0, 1], plus noise, to logits (B, num_classes). Any
            normalization is its first layer. It may be moved to another device between two calls.
        sigma: noise level, the standard deviation in [0, 1]-pixel units.
        num_classes: number of logits, at least 2.
        seed: names the noise streams.
        batch_size: noise samples per forward pass, at most; bounds the memory.
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
        if not isinstance(base_classifier, nn.Module):
            got = f"{type(base_classifier).__name__}; wrap a function in a module whose forward calls it"
            raise InvalidSpec(expected="a torch.nn.Module", got=got, where="base_classifier")
        sigma = number_of(sigma, "sigma", "a noise level sigma above 0", above=0)
        classes = whole_number_of(num_classes, "num_classes", "at least 2 classes", least=2)
        seed = whole_number_of(seed, "seed", f"a whole number from 0 to {MAX_SEED}", least=0)
        batch_size = whole_number_of(batch_size, "batch_size", "at least 1 noise sample per forward pass", least=1)
        self._base_classifier = base_classifier
        self._num_classes = classes
        self._how: dict[str, Any] = {"sigma": sigma, "seed": seed, "batch_size": batch_size}
        self._sampler: Sampler | None = None
        self._calls = itertools.count()

    @overload
    def certify(
        self,
        x: Images,
        n0: int = ...,
        n: int = ...,
        alpha: float = ...,
        *,
        index: Sequence[int],
        label: int | Sequence[int] = ...,
    ) -> list[Certificate]: ...

    @overload
    def certify(
        self,
        x: Images,
        n0: int = ...,
        n: int = ...,
        alpha: float = ...,
        *,
        index: int | None = ...,
        label: Sequence[int],
    ) -> list[Certificate]: ...

    @overload
    def certify(
        self, x: Images, n0: int = ..., n: int = ..., alpha: float = ..., *, index: int, label: int = ...
    ) -> Certificate: ...

    @overload
    def certify(
        self, x: Images, n0: int = ..., n: int = ..., alpha: float = ..., *, index: None = ..., label: int = ...
    ) -> Any: ...

    def certify(
        self,
        x: Images,
        n0: int = 100,
        n: int = 100_000,
        alpha: float = 0.001,
        *,
        index: int | Sequence[int] | None = None,
        label: int | Sequence[int] = UNKNOWN_LABEL,
    ) -> Any:
        """CERTIFY: class and l2 radius of each image, or an abstention.

        Args:
            x: one image (C, H, W) or several (B, C, H, W): floating-point tensor or array with pixels in [0, 1].
            n0: noise samples for the selection of the class.
            n: noise samples for the estimation of its probability.
            alpha: failure probability of each certificate.
            index: names the noise streams of the image: one number for one image, B different ones for several.
                Without it images are numbered 0, 1, ... over all calls of this object, so that no two of them share their
                noise. An image with an explicit number shares the noise of the other images with this number.
            label: true label, or -1 where it is unknown: one for one image, B for several.

        Returns:
            A :class:`Certificate` for one image, a list of them for several. Radii are in [0, 1]-pixel units, and each
            certificate is true with probability at least 1 - alpha. For type checkers the result is ``Any`` where neither
            ``index`` nor a list of labels says whether ``x`` is one image.

        Raises:
            InvalidImages: ``x`` is of another shape or type, or has pixels that are not in [0, 1].
            InvalidSpec: another argument is out of its range.
            NotFinite: a logit is NaN or infinite.
            NetworkFailed: the base classifier cannot be run on such images.
        """
        n0, n = (whole_number_of(value, name, SAMPLES, least=1) for name, value in (("n0", n0), ("n", n)))
        alpha = number_of(alpha, "alpha", ALPHA, above=0, most=MAX_ALPHA)
        procedure = Procedure(sigma=self._how["sigma"], n0=n0, n=n, alpha=alpha)
        return self._asked(x, index, label, lambda sampler, inputs: engine.certify(sampler, inputs, procedure))

    @overload
    def predict(
        self, x: Images, n: int = ..., alpha: float = ..., *, index: Sequence[int], label: int | Sequence[int] = ...
    ) -> list[Prediction]: ...

    @overload
    def predict(
        self, x: Images, n: int = ..., alpha: float = ..., *, index: int | None = ..., label: Sequence[int]
    ) -> list[Prediction]: ...

    @overload
    def predict(self, x: Images, n: int = ..., alpha: float = ..., *, index: int, label: int = ...) -> Prediction: ...

    @overload
    def predict(self, x: Images, n: int = ..., alpha: float = ..., *, index: None = ..., label: int = ...) -> Any: ...

    def predict(
        self,
        x: Images,
        n: int = 1_000,
        alpha: float = 0.001,
        *,
        index: int | Sequence[int] | None = None,
        label: int | Sequence[int] = UNKNOWN_LABEL,
    ) -> Any:
        """PREDICT: the smoothed classifier's class at each image, or an abstention.

        Args:
            x: one image (C, H, W) or several (B, C, H, W), as in :meth:`certify`.
            n: noise samples.
            alpha: probability, at most, that the class is a wrong one.
            index: as in :meth:`certify`.
            label: as in :meth:`certify`.

        Returns:
            A :class:`Prediction` for one image, a list of them for several.

        Raises:
            InvalidImages, InvalidSpec, NotFinite, NetworkFailed: as :meth:`certify`.
        """
        n = whole_number_of(n, "n", SAMPLES, least=1)
        alpha = number_of(alpha, "alpha", ALPHA, above=0, most=MAX_ALPHA)
        return self._asked(x, index, label, lambda sampler, inputs: engine.predict(sampler, inputs, n=n, alpha=alpha))

    def _asked(self, x: Images, index: Any, label: Any, ask: Any) -> Any:
        """One record for one image, a list for several, in the order of the images."""
        images, single = taken(x)
        labels = labels_of(label, len(images), self._num_classes, single=single)
        numbers = numbers_of(index, len(images), self._calls, single=single)
        with in_evaluation_mode(self._base_classifier):
            records: Iterable[Any] = ask(self._current(), list(zip(numbers, images, labels, strict=True)))
            found = in_order(records, numbers)
        return found[0] if single else found

    def _current(self) -> Sampler:
        """The sampler, made anew where the classifier was moved to another device."""
        if self._sampler is None or self._sampler.device != device_of(self._base_classifier):
            how = dict(self._how)
            self._sampler = Sampler(self._base_classifier, how.pop("sigma"), self._num_classes, **how)
        return self._sampler


@contextmanager
def in_evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for the block; afterwards each module is in the mode that it was in, also after an error."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        yield
    finally:
        for part, training in modes:
            part.training = training
