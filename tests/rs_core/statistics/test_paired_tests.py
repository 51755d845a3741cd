"""Paired tests: exact p-values by hand and by another library's function, intervals that cover as often as they say."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, bootstrap
from statsmodels.stats.multitest import multipletests
from tests_support.runs import run

from radii.rs_core.results.aggregate import Columns
from radii.rs_core.statistics import paired_tests
from radii.rs_core.statistics.paired_tests import acr_difference, discordance, holm


def rows(radii: list[float | None]) -> Columns:
    return run("a", radii).rows


class TestMcNemar:
    def test_the_table_counts_inputs_certified_by_both_one_or_none(self) -> None:
        a = rows([0.5, 0.5, 0.5, None, -0.9, 0.1, 0.3])
        b = rows([0.5, 0.1, None, 0.5, 0.2, 0.1, 0.3])
        found = discordance(a, b, 0.3)
        assert (found.both, found.only_run, found.only_baseline, found.neither) == (2, 2, 1, 2)
        assert found.difference == pytest.approx(1 / 7)

    def test_the_p_value_is_the_one_computed_by_hand(self) -> None:
        # 5 against 1: twice the chance of at most 1 head in 6 tosses, 2 (1 + 6) / 64.
        a, b = rows([0.5] * 5 + [None] + [0.5] * 4), rows([None] * 5 + [0.5] + [0.5] * 4)
        assert discordance(a, b, 0.25).p_value == pytest.approx(14 / 64)
        # 10 against 0: 2 / 1024, however many inputs both certify.
        a, b = rows([0.5] * 30), rows([None] * 10 + [0.5] * 20)
        assert discordance(a, b, 0.25).p_value == pytest.approx(2 / 1024)

    def test_no_difference_and_an_even_one_have_p_1(self) -> None:
        same = rows([0.5, None, -0.2])
        assert discordance(same, same, 0.25).p_value == 1.0
        assert discordance(rows([0.5, None]), rows([None, 0.5]), 0.25).p_value == 1.0

    @given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
    def test_it_is_the_exact_binomial_test_on_the_inputs_that_one_alone_certifies(
        self, certified: list[tuple[bool, bool]]
    ) -> None:
        a, b = (rows([0.5 if pair[side] else None for pair in certified]) for side in (0, 1))
        found = discordance(a, b, 0.25)
        either = found.only_run + found.only_baseline
        wanted = binomtest(found.only_run, either).pvalue if either else 1.0
        assert found.p_value == pytest.approx(wanted, rel=1e-9)
        assert discordance(b, a, 0.25).p_value == pytest.approx(found.p_value, rel=1e-12)

    @pytest.mark.parametrize("alpha", [0.05, 0.01])
    def test_a_true_null_is_refused_at_most_as_often_as_the_level_says(self, alpha: float) -> None:
        """Exactly, not by simulation: the chance of a p-value of at most alpha, for each number of discordant inputs."""
        for either in range(1, 40):
            refused = 0.0
            for ours in range(either + 1):
                a = rows([0.5] * ours + [None] * (either - ours))
                b = rows([None] * ours + [0.5] * (either - ours))
                if discordance(a, b, 0.25).p_value <= alpha:
                    refused += float(binom.pmf(ours, either, 0.5))
            assert refused <= alpha + 1e-12


class TestAcr:
    def test_the_difference_is_that_of_the_two_acrs(self) -> None:
        a, b = rows([0.5, 0.25, -0.9, None]), rows([0.25, 0.25, 0.5, None])
        found = acr_difference(a, b)
        assert found.difference == pytest.approx((0.75 - 1.0) / 4)
        assert found.low is not None and found.high is not None
        assert found.low <= found.difference <= found.high

    def test_every_possible_resample_of_two_inputs(self) -> None:
        # Of differences 0 and 1 the mean of two draws is 0, 1/2, 1/2 or 1: the outer 2.5 % are 0 and 1.
        found = acr_difference(rows([1.0, None]), rows([None, None]))
        assert (found.difference, found.low, found.high, found.method) == (0.5, 0.0, 1.0, "bootstrap")

    def test_it_pairs_inputs(self) -> None:
        """Two runs whose radii vary much, but one is better by the same on every input: the interval has no width."""
        radii = np.random.default_rng(1).uniform(0.1, 0.9, 200)
        found = acr_difference(rows([*(radii + 0.01)]), rows([*radii]))
        assert found.low == pytest.approx(0.01) and found.high == pytest.approx(0.01)

    def test_equal_seeds_give_equal_intervals(self) -> None:
        a, b = rows([*np.random.default_rng(2).uniform(0, 1, 50)]), rows([0.5] * 50)
        assert acr_difference(a, b, seed=3) == acr_difference(a, b, seed=3) != acr_difference(a, b, seed=4)

    def test_the_size_of_a_batch_bounds_memory_and_changes_nothing_that_matters(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        a, b = rows([*np.random.default_rng(2).uniform(0, 1, 500)]), rows([0.5] * 500)
        seen: list[int] = []

        def watched(*arguments: Any, **options: Any) -> Any:
            seen.append(options["batch"])
            return bootstrap(*arguments, **options)

        monkeypatch.setattr("scipy.stats.bootstrap", watched)
        whole = acr_difference(a, b)
        monkeypatch.setattr(paired_tests, "AT_ONCE", 500 * 7)
        parts = acr_difference(a, b)
        assert seen == [400, 7]
        assert parts.low == pytest.approx(whole.low, abs=0.005)

    def test_of_very_many_inputs_it_is_the_normal_interval_which_the_bootstraps_is_close_to(self) -> None:
        """Of 2,000 inputs, 20,000 resamples: both ends within 6 % of the half width, 3 times what quantiles of so many
        resamples and the skewness of this law move them (false alarm below 1e-3, and the seed is fixed)."""
        rng = np.random.default_rng(4)
        a, b = rows([*rng.exponential(0.3, 2_000)]), rows([*rng.exponential(0.2, 2_000)])
        normal, resampled = acr_difference(a, b, most=1_999), acr_difference(a, b, resamples=20_000)
        assert (normal.method, resampled.method) == ("normal", "bootstrap")
        assert normal.low is not None and normal.high is not None
        assert resampled.low is not None and resampled.high is not None
        half = normal.high - normal.difference
        assert abs(normal.low - resampled.low) < 0.06 * half
        assert abs(normal.high - resampled.high) < 0.06 * half
        spread = float(np.std(a.radius - b.radius, ddof=1))
        assert half == pytest.approx(1.959964 * spread / math.sqrt(2_000), rel=1e-6)

    def test_one_input_has_no_interval(self) -> None:
        found = acr_difference(rows([0.5]), rows([0.25]))
        assert (found.difference, found.low, found.high) == (0.25, None, None)


class TestHolm:
    def test_it_is_the_step_down_by_hand(self) -> None:
        # 3 x .01, then 2 x .03 and 1 x .04, none below the one before.
        assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])

    @pytest.mark.parametrize("tests", [2, 200])
    def test_it_is_the_adjustment_of_statsmodels(self, tests: int) -> None:
        p_values = np.random.default_rng(tests).uniform(0, 1, tests) ** 6
        p_values[: tests // 2] = p_values[0]  # ties
        assert holm([*p_values]) == pytest.approx(multipletests(p_values, method="holm")[1].tolist(), abs=1e-15)

    def test_no_test_and_one_test_stay_what_they_are(self) -> None:
        assert (holm([]), holm([0.2])) == ([], [0.2])

    def test_no_p_value_exceeds_1(self) -> None:
        assert holm([0.6, 0.9, 1.0]) == [1.0, 1.0, 1.0]
