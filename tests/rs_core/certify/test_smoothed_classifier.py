"""SmoothedClassifier as a user of the library meets it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from radii.rs_core.certify.smoothed_classifier import SmoothedClassifier
from radii.rs_core.errors import InvalidImages, InvalidSpec, NetworkFailed, NotFinite
from radii.rs_core.records import ABSTAIN


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


def test_equal_calls_give_equal_counts_and_another_seed_gives_others(model: nn.Module) -> None:
    x = torch.rand(1, 4, 4)
    first, again = (SmoothedClassifier(model, 0.5, 3, seed=1).certify(x, 100, 1_000) for _ in range(2))
    assert first.counts == again.counts
    assert SmoothedClassifier(model, 0.5, 3, seed=2).certify(x, 100, 1_000).counts != first.counts


def test_calls_without_an_index_share_no_noise_and_calls_with_one_repeat_it(model: nn.Module) -> None:
    x, smoothed = torch.rand(1, 4, 4), SmoothedClassifier(model, 0.5, 3)
    assert smoothed.certify(x, 100, 1_000).counts != smoothed.certify(x, 100, 1_000).counts
    assert smoothed.certify(x, 100, 1_000, index=7).counts == smoothed.certify(x, 100, 1_000, index=7).counts


def test_a_classifier_that_never_changes_its_mind_reaches_the_cap() -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.eye(3)[1].expand(len(x), 3)

    certificate = SmoothedClassifier(Constant(), 0.25, 3).certify(torch.rand(1, 4, 4), 100, 10_000, 0.001)
    assert certificate.at_cap
    assert certificate.radius == pytest.approx(3.199 * 0.25, abs=2e-4)
    assert SmoothedClassifier(Constant(), 0.25, 3).predict(torch.rand(1, 4, 4)).prediction == 1


def test_a_classifier_that_tosses_a_coin_abstains() -> None:
    class Coin(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x.flatten(1)[:, 0], -x.flatten(1)[:, 0]], dim=1)

    smoothed = SmoothedClassifier(Coin(), 0.25, 2)
    # False alarm at most 0.001 each, and the seed is fixed.
    assert smoothed.certify(torch.zeros(1, 4, 4), 100, 1_000).prediction == ABSTAIN
    assert smoothed.predict(torch.zeros(1, 4, 4)).prediction == ABSTAIN


@pytest.mark.parametrize("sigma", [0.0, -0.5, float("nan")])
def test_a_noise_level_that_is_not_above_zero_is_refused(model: nn.Module, sigma: float) -> None:
    with pytest.raises(InvalidSpec, match=f"above 0, got {sigma}"):
        SmoothedClassifier(model, sigma, 3)


def test_impossible_requests_say_what_was_expected(model: nn.Module) -> None:
    smoothed = SmoothedClassifier(model, 0.25, 3)
    with pytest.raises(InvalidSpec, match=r"\(0, 0\.5\], got 1"):
        smoothed.certify(torch.rand(1, 4, 4), alpha=1)
    with pytest.raises(InvalidSpec, match=r"n0\): expected a whole number of noise samples, at least 1, got 0"):
        smoothed.certify(torch.rand(1, 4, 4), n0=0)
    with pytest.raises(InvalidImages, match=r"\(B, C, H, W\), got torch.uint8 \(4, 4\)"):
        smoothed.predict(torch.zeros(4, 4, dtype=torch.uint8))


ODD = (None, "10", "a", float("nan"), float("inf"), -float("inf"), 10.5, [10], {}, 1j, True, 10**30)
"""What is neither a number of samples nor an index or a label."""


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_odd_arguments_are_refused_in_a_sentence(model: nn.Module, odd: Any) -> None:
    x, smoothed = torch.rand(1, 4, 4), SmoothedClassifier(model, 0.25, 3)
    for name in ("n", "n0", "alpha", "label", "index"):
        if name == "index" and odd in (None, [10]):  # of one image: no number, and a list of one
            continue
        with pytest.raises(InvalidSpec, match=rf"\({name}\): expected .*, got"):
            smoothed.certify(x, **({"n": 10, "n0": 10} | {name: odd}))
        if name != "n0":
            with pytest.raises(InvalidSpec, match=rf"\({name}\): expected .*, got"):
                smoothed.predict(x, **({"n": 10} | {name: odd}))
        if name in ("label", "index"):
            with pytest.raises(InvalidSpec, match=rf"\({name}\): expected .*, got"):
                smoothed.predict(x[None].expand(2, -1, -1, -1), 10, **{name: [1, odd]})
    for name in ("sigma", "num_classes", "seed", "batch_size"):
        if name == "sigma" and isinstance(odd, float | int) and 0 < odd < float("inf") and odd is not True:
            continue
        with pytest.raises(InvalidSpec, match=rf"\({name}\): expected .*, got"):
            SmoothedClassifier(model, **({"sigma": 0.25, "num_classes": 3} | {name: odd}))


def test_numbers_of_any_type_mean_the_same(model: nn.Module) -> None:
    x, smoothed = torch.rand(1, 4, 4), SmoothedClassifier(model, np.float32(0.25), np.int64(3), seed=torch.tensor(0))  # type: ignore[arg-type]
    wanted = SmoothedClassifier(model, 0.25, 3).certify(x, 10, 100, 0.25, index=4, label=2)
    for whole in (np.int32, np.float64, torch.tensor, float):
        given: Any = {"n0": whole(10), "n": whole(100), "index": whole(4), "label": whole(2)}
        found = smoothed.certify(x, alpha=np.float32(0.25), **given)
        assert (found.counts0, found.counts, found.label) == (wanted.counts0, wanted.counts, 2)


class Moody(nn.Module):
    """Convolution, batch norm and dropout; NaN for images whose first pixel is below ``nan_below``, noise included."""

    nan_below: torch.Tensor

    def __init__(self, nan_below: float = -100.0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, 3))
        self.register_buffer("nan_below", torch.tensor(nan_below), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(x)
        return torch.where(x[:, 0, 0, 0, None] < self.nan_below, torch.nan, logits)


def test_arrays_and_tensors_of_any_floating_type_give_equal_certificates(model: nn.Module) -> None:
    exact = torch.randint(0, 2, (1, 4, 4)) / 2  # in half precision too
    wanted = SmoothedClassifier(model, 0.5, 3).certify(exact, 100, 1_000, index=3)
    for x in (exact.half(), exact.bfloat16(), exact.double(), exact.requires_grad_()):
        assert counts_of(SmoothedClassifier(model, 0.5, 3).certify(x, 100, 1_000, index=3)) == counts_of(wanted)
    values = exact.detach().numpy()
    for dtype in ("f2", "f4", "f8", ">f4", ">f8"):
        array = np.asfortranarray(values.astype(dtype))
        assert counts_of(SmoothedClassifier(model, 0.5, 3).certify(array, 100, 1_000, index=3)) == counts_of(wanted)


def counts_of(record: Any) -> tuple[Any, ...]:
    return record.index, record.prediction, record.counts, getattr(record, "counts0", None)


@pytest.mark.parametrize("numpy", [False, True])
def test_several_images_are_a_list_and_each_is_what_it_is_alone(model: nn.Module, numpy: bool) -> None:
    x = torch.rand(5, 1, 4, 4)
    given: Any = x.numpy() if numpy else x
    smoothed = SmoothedClassifier(model, 0.5, 3)
    together = smoothed.certify(given, 100, 500, index=[9, 2, 5, 0, 7], label=[0, 1, 2, 0, 1])
    alone = [smoothed.certify(image, 100, 500, index=i) for image, i in zip(x, [9, 2, 5, 0, 7], strict=True)]
    assert [counts_of(row) for row in together] == [counts_of(row) for row in alone]
    assert [row.label for row in together] == [0, 1, 2, 0, 1]
    found = smoothed.predict(given, 300)
    assert [row.index for row in found] == list(range(5)) and {row.label for row in found} == {-1}
    assert isinstance(smoothed.predict(given[:1], 300), list)


def test_numbers_and_labels_of_another_length_or_range_are_refused(model: nn.Module) -> None:
    smoothed, x = SmoothedClassifier(model, 0.5, 3), torch.rand(3, 1, 4, 4)
    for index in (1, [1, 2], [1, 1, 2], [0, 1, -2], [0.5, 1, 2], "012"):
        with pytest.raises(InvalidSpec, match=r"\(index\)"):
            smoothed.predict(x, 10, index=index)  # type: ignore[arg-type]
    for label in (1, [1, 2], [0, 1, 3], [0, 1, -2]):
        with pytest.raises(InvalidSpec, match=r"\(label\)"):
            smoothed.predict(x, 10, label=label)
    with pytest.raises(InvalidSpec, match=r"expected labels from 0 to 2, or -1 for none, got labels from 3 to 3"):
        smoothed.predict(x[0], 10, label=3)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.randint(0, 256, (1, 4, 4), dtype=torch.uint8), "got torch.uint8; divide them by 255: x / 255"),
        (np.zeros((1, 4, 4), np.uint8), "divide them by 255"),
        (np.zeros((1, 4, 4), np.int32), "floating-point pixels"),
        (np.zeros((1, 4, 4), bool), "floating-point pixels"),
        (np.zeros((1, 4, 4), "c8"), "got an array of complex64"),
        (torch.rand(1, 4, 4) * 255, "divide them by 255"),
        (torch.rand(1, 4, 4) * 2 - 1, "make the normalization the model's first layer"),
        (torch.full((1, 4, 4), torch.nan), "NaN"),
        (torch.rand(4, 4), r"one image \(C, H, W\) or several"),
        (torch.rand(1, 1, 1, 4, 4), r"one image \(C, H, W\) or several"),
        (torch.rand(0, 1, 4, 4), r"at least one, got shape \(0, 1, 4, 4\)"),
        ([[[0.5]]], "got a list"),
    ],
)
def test_images_of_another_kind_are_refused_with_the_way_out(model: nn.Module, x: Any, words: str) -> None:
    smoothed = SmoothedClassifier(model, 0.25, 3)
    for ask in (smoothed.certify, smoothed.predict):
        with pytest.raises(InvalidImages, match=words):
            ask(x)
    assert smoothed.predict(torch.rand(1, 4, 4), 10).index == 0  # none of these took a number


def test_each_module_is_in_its_mode_again_whatever_happens() -> None:
    model = Moody(nan_below=0.3).train()
    model.body[1].eval()
    model.body[4].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [part.training for part in model.modules()]
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    smoothed = SmoothedClassifier(model, 0.25, 3)

    def unchanged() -> bool:
        same = all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        hooks = any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
        return same and not hooks and [part.training for part in model.modules()] == modes

    assert unchanged()
    with pytest.raises(NotFinite):
        smoothed.certify(torch.zeros(1, 4, 4), 10, 100)
    with pytest.raises(NetworkFailed):
        smoothed.certify(torch.zeros(2, 4, 4), 10, 100)
    with pytest.raises(InvalidImages):
        smoothed.certify(torch.ones(1, 4, 4) * 7, 10, 100)
    model.nan_below.fill_(-100.0)
    smoothed.certify(torch.rand(1, 4, 4), 10, 100)
    assert unchanged() and [parameter.requires_grad for parameter in model.parameters()] == wanted


def test_dropout_is_off_while_a_model_in_training_mode_is_certified() -> None:
    torch.manual_seed(0)
    model = Moody()
    first, again = (SmoothedClassifier(model.train(), 0.25, 3).certify(torch.rand(1, 4, 4), 10, 300) for _ in range(2))
    assert model.training
    torch.manual_seed(0)
    x = torch.rand(1, 4, 4)
    votes = [
        SmoothedClassifier(mode(model), 0.25, 3).certify(x, 10, 300).counts
        for mode in (nn.Module.train, nn.Module.eval)
    ]
    assert votes[0] == votes[1] and first.n == again.n


def test_an_image_without_numbers_leaves_the_next_one_alone() -> None:
    """The batch has room for several parts, and what a bad image has left in it is counted for nobody."""
    torch.manual_seed(0)
    model = Moody(nan_below=-0.5)
    good = torch.ones(1, 4, 4)
    wanted = SmoothedClassifier(model, 0.25, 3, batch_size=800).certify(good, 100, 500, index=0)
    smoothed = SmoothedClassifier(model, 0.25, 3, batch_size=800)
    model.nan_below.fill_(0.4)
    with pytest.raises(NotFinite):
        smoothed.certify(torch.zeros(1, 4, 4), 100, 5_000, index=1)
    model.nan_below.fill_(-0.5)
    bad = smoothed._sampler
    assert bad is not None
    bad._batch[300:] = torch.nan  # as a network that maps its noise to NaN would have it
    model.nan_below.fill_(-100.0)
    assert smoothed.certify(good, 100, 300, index=0).counts0 == wanted.counts0
    assert smoothed.predict(good, 100).n == 100


def test_a_network_that_cannot_take_the_images_is_named_in_one_sentence(model: nn.Module) -> None:
    with pytest.raises(NetworkFailed) as caught:
        SmoothedClassifier(model, 0.25, 3).certify(torch.rand(3, 8, 8), 10, 10)
    assert "float32 images (B, C, H, W) of shape (100, 3, 8, 8)" in caught.value.expected
    assert caught.value.got.startswith("RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(NetworkFailed, match="float"):
        SmoothedClassifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).double(), 0.25, 3).predict(torch.rand(1, 4, 4))


def test_a_function_is_refused_when_the_classifier_is_made(model: nn.Module) -> None:
    with pytest.raises(InvalidSpec, match=r"\(base_classifier\): expected a torch.nn.Module, got function; wrap"):
        SmoothedClassifier(lambda images: model(images), 0.25, 10)  # type: ignore[arg-type]
