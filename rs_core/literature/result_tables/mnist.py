"""MNIST and Fashion-MNIST, LeNet, all 10,000 test images: average certified radii."""

from collections.abc import Iterable

from radii.rs_core.literature.result_tables.row import ResultRow, ResultTable, figures

SIGMAS = (0.25, 0.5, 1.0)
SEEDS = "mean over 5 seeds of the released logs; standard deviations are 0.000 to 0.007"
FMNIST_LOGS = "Jeong, Kim and Shin 2023, released logs"
LONGER = "trained for 150 epochs, what it is compared with for 90"
ONE_RUN = f"of one run; {LONGER}"


def _rows(
    source: str, table: Iterable[tuple[str, str, tuple[float, float, float]]], **notes: str
) -> tuple[ResultRow, ...]:
    return tuple(
        ResultRow(
            name=name,
            title=title,
            source=source,
            figures={sigma: figures(acr, note=notes.get(name)) for sigma, acr in zip(SIGMAS, acrs, strict=True)},
        )
        for name, title, acrs in table
    )


MNIST = ResultTable(
    dataset="mnist",
    title="MNIST",
    architecture="lenet",
    inputs=10_000,
    rows=_rows(
        SEEDS,
        (
            ("gaussian", "Gaussian augmentation", (0.911, 1.558, 1.618)),
            ("stability", "Stability training", (0.915, 1.572, 1.634)),
            ("smoothadv", "SmoothAdv", (0.932, 1.687, 1.779)),
            ("macer", "MACER", (0.920, 1.590, 1.595)),
            ("consistency", "Consistency regularisation", (0.928, 1.655, 1.738)),
            ("consistency-smoothadv", "Consistency regularisation with SmoothAdv", (0.932, 1.696, 1.816)),
            ("smoothmix-eta1", "SmoothMix, eta = 1", (0.930, 1.678, 1.787)),
            ("smoothmix-eta5", "SmoothMix, eta = 5", (0.932, 1.693, 1.818)),
            ("smoothmix-one-step-eta1", "SmoothMix with the one-step adversary, eta = 1", (0.933, 1.693, 1.817)),
            ("smoothmix-one-step-eta5", "SmoothMix with the one-step adversary, eta = 5", (0.933, 1.685, 1.821)),
        ),
    )
    + _rows("Jeong, Kim and Shin 2023, released log", (("cat_rs", "CAT-RS", (0.933, 1.700, 1.831)),), cat_rs=ONE_RUN),
)

FMNIST = ResultTable(
    dataset="fmnist",
    title="Fashion-MNIST",
    architecture="lenet",
    inputs=10_000,
    rows=_rows(
        FMNIST_LOGS,
        (
            ("gaussian", "Gaussian augmentation", (0.670, 1.056, 1.316)),
            ("stability", "Stability training", (0.689, 1.118, 1.394)),
            ("smoothadv", "SmoothAdv", (0.756, 1.255, 1.538)),
            ("macer", "MACER", (0.727, 1.183, 1.504)),
            ("consistency", "Consistency regularisation", (0.744, 1.212, 1.491)),
            ("smoothmix", "SmoothMix", (0.745, 1.237, 1.534)),
            ("cat_rs", "CAT-RS", (0.757, 1.274, 1.607)),
        ),
        cat_rs=LONGER,
    ),
)
