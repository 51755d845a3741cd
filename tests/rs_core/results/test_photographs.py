"""Intervals that count photographs: Clopper-Pearson where each image shows another, wider where images are alike."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radii.rs_core.certify.bounds import interval
from radii.rs_core.errors import InvalidDataset, InvalidResults
from radii.rs_core.results.photographs import (
    GroupSizes,
    Photographs,
    check_photographs,
    effective_inputs,
    joined,
    known_sizes,
    repeat_of,
    share_interval,
)


def counts(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


class TestInterval:
    @settings(deadline=None)
    @given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
    def test_with_one_image_of_each_photograph_it_is_clopper_pearson_to_the_last_bit(
        self, pair: tuple[int, int]
    ) -> None:
        photographs, right = pair
        found = share_interval(np.arange(photographs) < right, np.ones(photographs, dtype=np.int64), 0.95)
        assert found == interval(right, photographs)

    def test_images_that_are_all_alike_count_once(self) -> None:
        """Each photograph is right in all of its 75 images or in none: they tell what one image of each tells."""
        right = np.where(np.arange(40) < 30, 75, 0)
        low, high = share_interval(right, np.full(40, 75), 0.95)
        assert (low, high) == pytest.approx(interval(30, 40), abs=1e-12)

    def test_images_that_have_nothing_in_common_count_nearly_each(self) -> None:
        """The same share of every photograph's images: as many effective inputs as photographs allow to be sure of."""
        found = effective_inputs(np.full((1, 2_000), 40), np.full(2_000, 75), 0.95)[0]
        assert 0.95 * 2_000 * 75 < found <= 2_000 * 75

    @pytest.mark.parametrize("right", [0, 75])
    def test_none_right_and_all_right_are_those_of_the_photographs(self, right: int) -> None:
        low, high = share_interval(np.full(20, right), np.full(20, 75), 0.95)
        assert (low, high) == pytest.approx(interval(20 * right // 75, 20), abs=1e-12)
        assert 0 < high - low < 0.2

    @pytest.mark.parametrize("images", [(1, 2, 3, 4), (1, 2, 4, 3), (1, 2, 4, 4)])
    def test_all_right_has_an_upper_end_of_one_whatever_the_rounding(self, images: tuple[int, ...]) -> None:
        _, high = share_interval(np.array(images), np.array(images), 0.95)
        assert high == 1

    def test_one_photograph_tells_as_much_as_one_input(self) -> None:
        low, high = share_interval(counts(30), counts(75), 0.95)
        assert (low, high) == pytest.approx(interval(0.4, 1), abs=1e-12)

    @settings(deadline=None)
    @given(
        st.lists(
            st.integers(1, 75).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=2, max_size=50
        )
    )
    def test_it_holds_the_share_and_lies_between_those_of_photographs_and_of_images(
        self, images: list[tuple[int, int]]
    ) -> None:
        right, inputs = (np.array(side, dtype=np.int64) for side in zip(*images, strict=True))
        low, high = share_interval(right, inputs, 0.95)
        effective = effective_inputs(right[None], inputs, 0.95)[0]
        assert 0 <= low <= right.sum() / inputs.sum() <= high <= 1
        assert inputs.sum() ** 2 / (inputs**2).sum() - 1e-9 <= effective <= inputs.sum()
        outer = interval(int(right.sum()), int(inputs.sum()))
        assert low <= outer[0] + 1e-9 and high >= outer[1] - 1e-9

    def test_photographs_without_an_input_change_nothing(self) -> None:
        assert share_interval(counts(3, 0, 5), counts(8, 0, 8), 0.95) == share_interval(
            counts(3, 5), counts(8, 8), 0.95
        )


class TestSizes:
    MARKS = (0, 100, 200)

    def test_image_i_of_each_group_shows_photograph_i(self) -> None:
        assert Photographs(self.MARKS).numbers(counts(0, 99, 100, 107, 299)).tolist() == [0, 99, 0, 7, 99]
        assert Photographs.repeating(10_000, 49_999).numbers(counts(3, 10_003, 49_999)).tolist() == [3, 3, 9_999]

    def test_the_chosen_inputs_tell_which_images_of_each_photograph_are_missing(self) -> None:
        """Every 40th of three groups of 100: 0, 40, 80; 20, 60; 0, 40, 80. The first four are done."""
        chosen = range(0, 300, 40)
        photographs = Photographs(self.MARKS, chosen)
        done = np.bincount(photographs.numbers(np.array(chosen[:4])))
        sizes = photographs.sizes(done)
        assert {number: int(sizes.inputs[number]) for number in np.flatnonzero(sizes.inputs)} == {
            0: 2, 20: 1, 40: 2, 60: 1, 80: 2
        }  # fmt: skip
        assert sizes.missing[[0, 20, 40, 60, 80]].tolist() == [1, 0, 1, 1, 1]
        assert (sizes.photographs, sizes.repeated) == (5, True)

    def test_missing_images_count_for_the_upper_end_alone(self) -> None:
        sizes = GroupSizes(np.full(30, 10), np.full(30, 4))
        low, high = sizes.interval(np.full(30, 3), 0.95)
        assert low == share_interval(np.full(30, 3), np.full(30, 10), 0.95)[0]
        assert high == share_interval(np.full(30, 7), np.full(30, 10), 0.95)[1]

    def test_without_repetition_there_is_nothing_to_count_by_photograph(self) -> None:
        assert known_sizes(Photographs(self.MARKS).sizes(counts(1, 1, 0, 1)), 0) is None

    def test_missing_inputs_that_nobody_knows_are_refused(self) -> None:
        with pytest.raises(InvalidResults, match="7 missing inputs, of which 0 are known"):
            known_sizes(Photographs(self.MARKS).sizes(counts(2, 2)), 7)


class TestJoined:
    def test_inputs_that_any_grouping_puts_together_are_together(self) -> None:
        one, other = counts(0, 0, 1, 1, 2, 3), counts(9, 8, 8, 7, 6, 5)
        assert joined([one, other]).tolist() == [0, 0, 0, 0, 1, 2]

    def test_one_grouping_is_numbered_from_0(self) -> None:
        assert joined([counts(7, 40, 7)]).tolist() == joined([counts(7, 40, 7)] * 2).tolist() == [0, 1, 0]


class TestRepeats:
    def test_labels_that_come_again_are_found(self) -> None:
        labels = np.random.default_rng(0).integers(0, 10, 1_000)
        assert repeat_of(np.tile(labels, 5)) == 1_000
        assert repeat_of(np.tile(labels, 5)[:3_210]) == 1_000, "a run that was stopped"

    def test_other_labels_are_not(self) -> None:
        rng = np.random.default_rng(1)
        labels = np.tile(rng.integers(0, 10, 500), 4)
        labels[777] = (labels[777] + 1) % 10
        for other in (labels, rng.integers(0, 10, 2_000), np.zeros(2_000, dtype=np.int64), counts(1, 2, 1, 2)):
            assert repeat_of(other) is None

    @pytest.mark.parametrize("classes", [2, 3, 10, 25, 100, 1_000])
    def test_a_cycle_through_the_classes_is_not(self, classes: int) -> None:
        """As balanced subsets have it; here of any order of the classes."""
        order = np.random.default_rng(2).permutation(classes)
        assert repeat_of(np.arange(5_000) % classes) is None
        assert repeat_of(np.resize(order, 5_000)) is None

    @pytest.mark.parametrize("order", [sorted, lambda labels: sorted(labels, key=lambda label: label % 3)])
    def test_labels_that_are_sorted_by_class_within_each_round_are_found(self, order: Callable[[Any], Any]) -> None:
        labels = order(np.random.default_rng(3).integers(0, 10, 2_000).tolist())
        assert repeat_of(np.tile(labels, 15)) == 2_000
        assert repeat_of(np.repeat(np.arange(10), 3_000)) is None, "sorted by class throughout"

    def test_a_period_of_a_few_images_is_not(self) -> None:
        assert repeat_of(np.tile([0, 0, 1, 1, 2, 2, 2], 100)) is None


class TestDeclared:
    LABELS = np.tile(np.random.default_rng(4).integers(0, 10, 50), 4)

    def test_a_number_that_the_labels_agree_with_is_accepted(self) -> None:
        for photographs in (50, 100):
            check_photographs(self.LABELS, photographs, "photographs")
        check_photographs(self.LABELS[:130], 50, "photographs")

    def test_images_of_one_photograph_have_one_label(self) -> None:
        with pytest.raises(InvalidDataset, match=r"photographs.*come again every 49 images.*got label \d of image \d"):
            check_photographs(self.LABELS, 49, "photographs")

    @pytest.mark.parametrize("photographs", [200, 1_000_000])
    def test_more_photographs_than_images_are_refused(self, photographs: int) -> None:
        with pytest.raises(
            InvalidDataset, match=f"less than that of the images, 200.*got {photographs:,}; leave it out"
        ):
            check_photographs(self.LABELS, photographs, "photographs")

    def test_more_than_a_thousand_images_of_a_photograph_are_refused(self) -> None:
        check_photographs(np.zeros(2_000, dtype=np.int64), 2, "photographs")
        with pytest.raises(InvalidDataset, match="at most 1,000 images each"):
            check_photographs(np.zeros(2_001, dtype=np.int64), 2, "photographs")
