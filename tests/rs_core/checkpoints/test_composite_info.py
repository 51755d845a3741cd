"""Which models go together, and what is known of them together."""

from dataclasses import replace

import pytest
from tests_support.parts import CIFAR, DENOISER, DIGITS, NAMES

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.checkpoints.composite_info import TRAINED_BY, facts, name_of
from radii.rs_core.errors import IncompatibleParts
from radii.rs_core.methods.registry import METHODS
from radii.rs_core.specs.composition import Composition, Denoised, Ensemble, Mixed, Mixing

MIX = Mixed(robust_weight=0.5)
MIXING = Mixed(mixing=Mixing(features=(("a", "b"), ("a", "b")), channels=((4, 8), (4, 8)), widths=(16, 32, 64)))
NAMELESS = replace(DIGITS, class_names=())
LARGE = replace(DIGITS, architecture="torchvision/resnet18", input_shape=(3, 128, 128))
ENSEMBLE = CheckpointInfo(
    **facts(Ensemble(), [DIGITS, DIGITS]), composition=Ensemble(), parts=(DIGITS, DIGITS), provenance={}
)


def test_an_ensemble_has_what_its_parts_agree_on() -> None:
    found = facts(Ensemble(), [DIGITS, replace(NAMELESS, sigma=0.5)])
    assert found == {
        "architecture": "ensemble(2 x digits_cnn)",
        "num_classes": 10,
        "input_shape": (1, 8, 8),
        "class_names": NAMES,
        "sigma": None,
        "method": "gaussian",
    }


def test_the_noise_level_is_that_of_the_part_that_was_made_for_noise() -> None:
    assert facts(Denoised(), [DENOISER, replace(DIGITS, sigma=None)])["sigma"] == 0.5
    assert facts(MIX, [replace(DIGITS, sigma=None), replace(DIGITS, sigma=1.0)])["sigma"] == 1.0


def test_the_method_of_a_mixing_network_is_that_of_its_training() -> None:
    assert facts(MIXING, [DIGITS, DIGITS])["method"] == TRAINED_BY in METHODS
    assert facts(MIX, [DIGITS, replace(DIGITS, method="macer")])["method"] == "macer"


def test_a_standard_classifier_for_larger_images_is_shown_resized_ones() -> None:
    found = facts(replace(MIX, standard_size=128), [LARGE, replace(CIFAR, class_names=NAMES)])
    assert found["architecture"] == "mixed(torchvision/resnet18, cifar_resnet20)"
    assert found["input_shape"] == (3, 32, 32)


def test_composites_can_be_parts() -> None:
    assert facts(Denoised(), [DENOISER, ENSEMBLE])["architecture"] == "denoised(dncnn, ensemble(2 x digits_cnn))"


def test_a_long_name_is_cut_and_still_tells_composites_apart() -> None:
    one, other = (name_of("ensemble", [f"network{place}" for place in range(start, 40)]) for start in (0, 1))
    assert len(one) == len(other) == 100
    assert one != other
    assert one.startswith("ensemble(network0, network1") and one.endswith(")")


@pytest.mark.parametrize(
    ("composition", "parts", "sentence"),
    [
        (Ensemble(), [DIGITS], "(ensemble): expected 2 to 64 parts, got 1"),
        (Ensemble(), [DIGITS] * 65, "(ensemble): expected 2 to 64 parts, got 65"),
        (Denoised(), [DENOISER], "(denoised): expected 2 parts, denoiser and classifier, got 1"),
        (MIX, [DIGITS] * 3, "(mixed): expected 2 parts, standard and robust, got 3"),
        (Ensemble(), [DIGITS, DENOISER], "(ensemble): expected a classifier as part 1, got dncnn, a denoiser"),
        (Denoised(), [DIGITS, DIGITS], "(denoised): expected a denoiser as part 0, got digits_cnn, a classifier"),
        (
            Ensemble(),
            [DIGITS, CIFAR],
            "expected one image shape in all parts, 1x8x8 as in the first, got 3x32x32 in part 1",
        ),
        (
            Ensemble(),
            [DIGITS, replace(NAMELESS, num_classes=3)],
            "expected one number of classes in all parts, 10 as in the first, got 3 in part 1",
        ),
        (
            Ensemble(),
            [DIGITS, replace(DIGITS, class_names=NAMES[::-1])],
            "expected parts of the same classes in one order, '0' at 0, got '9' there in another part",
        ),
        (
            replace(MIX, standard_size=128),
            [DIGITS, DIGITS],
            "(mixed): expected one for images of 128x128, the standard_size, got a standard classifier for 1x8x8",
        ),
        (
            MIXING,
            [ENSEMBLE, DIGITS],
            "(mixed): expected single networks under a mixing network, which reads their feature maps, got "
            "ensemble(2 x digits_cnn)",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    composition: Composition, parts: list[CheckpointInfo], sentence: str
) -> None:
    with pytest.raises(IncompatibleParts) as caught:
        facts(composition, parts)
    assert str(caught.value).removeprefix("The models cannot be made into one").lstrip(" :") == (f"{sentence}.")
