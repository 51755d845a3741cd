"""CIFAR-100, ResNet-110, all 10,000 test images: average certified radii."""

from radii.rs_core.literature.result_tables.row import ResultRow, ResultTable, figures

LOGS = "Jeong, Kim and Shin 2023, released logs"
FAILED = "the run failed: accuracy 16.7 % in training and 9.1 % on the test set"

CIFAR100 = ResultTable(
    dataset="cifar100",
    title="CIFAR-100",
    architecture="cifar_resnet110",
    inputs=10_000,
    rows=tuple(
        ResultRow(name=name, title=title, source=LOGS, figures={0.25: low, 0.5: high})
        for name, title, low, high in (
            ("gaussian", "Gaussian augmentation", figures(0.228), figures(0.259)),
            ("stability", "Stability training", figures(0.159), figures(0.078, note=FAILED)),
            ("smoothadv", "SmoothAdv", figures(0.298), figures(0.342)),
            ("macer", "MACER", figures(0.283), figures(0.314)),
            ("consistency", "Consistency regularisation", figures(0.263), figures(0.275)),
            ("smoothmix", "SmoothMix, from noise 0.5 on with the one-step adversary", figures(0.295), figures(0.352)),
            ("cat_rs", "CAT-RS", figures(0.312), figures(0.368)),
        )
    ),
)
