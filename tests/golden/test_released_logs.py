"""Published numbers come out of the authors' released per-input results.

CIFAR-10, ResNet-110, n0 = 100, n = 100,000, alpha = 0.001, all 10,000 test inputs. The figures are those printed in
the SmoothMix slides (NeurIPS 2021) and the CAT-RS poster (AAAI 2023); Stability's are the poster's, because the log
belongs to it.
"""

import json
import os
from pathlib import Path

import pytest
from tests_support.cli import done

from radii.rs_core.data.corruption_info import COMMON
from radii.rs_core.reports.certification import Report, summarize
from radii.rs_core.results.tsv import read_tsv

POINTS = 0.051
"""Half of the last printed digit, in percentage points, and a little: 76.65 is printed as 76.6."""

# sigma, log, ACR, certified accuracy in percent at radii 0, 0.25, 0.5, ...
PUBLISHED = [
    (0.25, "cohen", 0.424, (76.6, 61.2, 42.2, 25.1)),
    (0.25, "stab", 0.420, (73.0, 58.9, 42.9, 26.8)),
    (0.25, "salman", 0.544, (73.4, 65.6, 57.0, 47.5)),
    (0.25, "macer", 0.531, (79.5, 69.0, 55.8, 40.6)),
    (0.25, "consistency", 0.552, (75.8, 67.6, 58.1, 46.7)),
    (0.25, "smoothmix", 0.553, (77.1, 67.9, 57.9, 46.7)),
    (0.25, "cat-rs", 0.562, (76.3, 68.1, 58.8, 48.2)),
    (0.5, "cohen", 0.525, (65.7, 54.9, 42.8, 32.5, 22.0, 14.1, 8.3, 3.9)),
    (0.5, "stab", 0.531, (62.1, 52.6, 42.7, 33.3, 23.8, 16.1, 9.8, 4.7)),
    (0.5, "salman", 0.684, (65.3, 57.8, 49.9, 41.7, 33.7, 26.0, 19.5, 12.9)),
    (0.5, "macer", 0.691, (64.2, 57.5, 49.9, 42.3, 34.8, 27.6, 20.2, 12.6)),
    (0.5, "consistency", 0.720, (64.3, 57.5, 50.6, 43.2, 36.2, 29.5, 22.8, 16.1)),
    # Not the published SmoothMix row (ACR .715): the released log is another run, of the one-step variant.
    (0.5, "smoothmix", 0.736, (63.5, 57.2, 50.5, 43.4, 36.7, 30.6, 24.7, 19.1)),
    (0.5, "cat-rs", 0.757, (62.3, 56.8, 50.5, 44.6, 38.5, 32.7, 27.1, 20.6)),
]

# CIFAR-10-C, sigma 0.25: log, mean ACR and mean accuracy in percent over 15 corruptions of 500 inputs each.
CORRUPTED = [
    ("cohen", 0.343, 64.4),
    ("stab", 0.302, 60.7),
    ("salman", 0.447, 63.7),
    ("macer", 0.409, 68.8),
    ("consistency", 0.444, 65.6),
    ("smoothmix", 0.446, 67.7),
    ("cat_rs", 0.475, 70.1),
]


@pytest.fixture(scope="module")
def logs() -> Path:
    reference = os.environ.get("RADII_TEST_REFERENCE")
    if not reference:
        pytest.skip("RADII_TEST_REFERENCE names no folder with certify-logs")
    return Path(reference) / "certify-logs"


def report_on(path: Path, sigma: float) -> Report:
    return summarize(read_tsv(path, sigma=sigma, n0=100, n=100_000, alpha=0.001))


@pytest.mark.parametrize(("sigma", "method", "acr", "accuracies"), PUBLISHED)
def test_a_released_log_gives_its_published_row(
    logs: Path, sigma: float, method: str, acr: float, accuracies: tuple[float, ...]
) -> None:
    report = report_on(logs / "cifar10" / f"sigma_{sigma}" / f"{method}.tsv", sigma)
    assert report.inputs == 10_000
    assert f"{report.acr:.3f}" == f"{acr:.3f}"
    assert [point.radius for point in report.certified_accuracy] == [k / 4 for k in range(len(accuracies))]
    for point, printed in zip(report.certified_accuracy, accuracies, strict=True):
        assert abs(100 * point.certified_accuracy - printed) <= POINTS, f"at radius {point.radius}"
    assert report.accuracy_at_0.count == report.certified_accuracy[0].count


def test_every_released_log_is_in_the_table(logs: Path) -> None:
    found = {(path.parent.name, path.stem) for path in (logs / "cifar10").glob("*/*.tsv")}
    assert found == {(f"sigma_{sigma}", method) for sigma, method, _, _ in PUBLISHED}


def test_a_tenth_to_two_fifths_of_inputs_sit_at_the_cap_where_sigma_is_a_quarter(logs: Path) -> None:
    """ACR there is bounded by n, which is why the share at the cap stands beside it."""
    shares = [report_on(path, 0.25).share_at_cap or 0.0 for path in (logs / "cifar10" / "sigma_0.25").glob("*.tsv")]
    assert 0.10 < min(shares) < max(shares) < 0.38
    shares = [report_on(path, 0.5).share_at_cap or 0.0 for path in (logs / "cifar10" / "sigma_0.5").glob("*.tsv")]
    assert 0.015 < min(shares) < max(shares) < 0.16


@pytest.mark.parametrize(("method", "acr", "accuracy"), CORRUPTED)
def test_means_over_corruptions_are_the_published_ones(logs: Path, method: str, acr: float, accuracy: float) -> None:
    files = sorted((logs / "cifar10c" / method).glob("*.tsv"))
    report = json.loads(done("report", "--corruptions", "--per-severity", "10000", "--json", *files).stdout)
    assert sorted(row["corruption"] for row in report["corruptions"]) == sorted(COMMON)
    assert {row["inputs"] for row in report["corruptions"]} == {500}
    assert {(row["severity"], row["inputs"]) for row in report["severities"]} == {(s, 100) for s in range(1, 6)}
    whole, *by_severity = report["means"]
    assert (whole["corruptions"], f"{whole['macr']:.3f}") == (15, f"{acr:.3f}")
    assert abs(100 * whole["macc"] - accuracy) <= POINTS
    assert sum(mean["macc"] for mean in by_severity) / 5 == pytest.approx(whole["macc"])


def test_one_corruption_has_the_report_of_its_rows(logs: Path) -> None:
    path = logs / "cifar10c" / "cat_rs" / "fog.tsv"
    alone = report_on(path, 0.25)
    (row,) = json.loads(done("report", "--corruptions", "--json", path).stdout)["corruptions"]
    assert (row["acr"], row["abstention_rate"]) == (pytest.approx(alone.acr), alone.abstention_rate)
    assert row["accuracy"] == alone.accuracy_at_0.certified_accuracy
