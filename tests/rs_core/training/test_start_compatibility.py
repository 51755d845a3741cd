"""Which checkpoints a training can start from, by their records alone."""

from dataclasses import replace
from typing import Any

import pytest
from tests_support import mixes, trainings
from tests_support.parts import DIGITS, NAMES

from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.checkpoints.composite_info import facts
from radii.rs_core.errors import Mismatch
from radii.rs_core.specs.composition import Ensemble, Mixed
from radii.rs_core.training.compatibility import DatasetSummary
from radii.rs_core.training.start_compatibility import check_start_of

DATA = DatasetSummary(count=100, shape=(1, 8, 8), num_classes=10, class_names=NAMES)
SPEC = trainings.by(trainings.METHODS["adaptive_smoothing"])


def _composed(composition: Any, *parts: CheckpointInfo) -> CheckpointInfo:
    return CheckpointInfo(**facts(composition, parts), composition=composition, parts=parts)


BOTH = _composed(Ensemble(), DIGITS, DIGITS)
TINY = replace(DIGITS, architecture="torchvision/vit_b_16", input_shape=(3, 224, 224))


@pytest.mark.parametrize("info", [mixes.constant()[1], mixes.adaptive()[1]], ids=["constant", "adaptive"])
def test_a_mix_for_these_images_can_be_trained_on(info: CheckpointInfo) -> None:
    check_start_of(SPEC, info, DATA)
    check_start_of(SPEC, info, replace(DATA, class_names=()))


@pytest.mark.parametrize(
    ("info", "data", "sentence"),
    [
        (
            DIGITS,
            DATA,
            "(start_from): expected a mix of a standard and a robust classifier, composed or trained before, got",
        ),
        (BOTH, DATA, "(start_from): expected a mix"),
        (mixes.constant()[1], replace(DATA, num_classes=9), "(dataset): expected images of shape 1x8x8 in 10 classes"),
        (mixes.constant()[1], replace(DATA, shape=(1, 28, 28)), "got of shape 1x28x28 in 10 classes"),
        (
            mixes.constant()[1],
            replace(DATA, class_names=NAMES[::-1]),
            "expected classes in the order of start_from, '0' at 0",
        ),
        (_composed(Mixed(robust_weight=0.5), BOTH, DIGITS), DATA, "got ensemble(2 x digits_cnn)"),
        (
            _composed(Mixed(robust_weight=0.5), TINY, TINY),
            DatasetSummary(count=9, shape=(3, 224, 224), num_classes=10),
            "whose rows name two modules, got torchvision/vit_b_16",
        ),
    ],
)
def test_what_cannot_is_said(info: CheckpointInfo, data: DatasetSummary, sentence: str) -> None:
    with pytest.raises(Mismatch) as caught:
        check_start_of(SPEC, info, data)
    assert sentence in str(caught.value)


def test_a_single_network_is_held_against_the_specification() -> None:
    check_start_of(trainings.SPEC, DIGITS, DATA)
    with pytest.raises(Mismatch, match="of composites, only a mix is trained on, by adaptive_smoothing"):
        check_start_of(trainings.SPEC, BOTH, DATA)
