"""CIFAR-10-C, ResNet-110 trained on CIFAR-10 under noise 0.25: plain means over 15 corruptions of 500 images each.

The images of a corruption are every hundredth of its 50,000: the same 100 test images at five severities. ACR is mACR,
certified accuracy at 0 is mAcc.
"""

from radii.rs_core.literature.result_tables.row import POSTER, ResultRow, ResultTable, figures

SOURCE = f"{POSTER}; means over the released logs give the same"
MEANS = "mACR and mAcc: means over 15 corruptions, 500 images each of 100 test images at 5 severities"

CIFAR10C = ResultTable(
    dataset="cifar10c",
    title="CIFAR-10-C",
    architecture="cifar_resnet110",
    inputs=7_500,
    rows=tuple(
        ResultRow(name=name, title=title, source=SOURCE, figures={0.25: figures(acr, accuracy, note=MEANS)})
        for name, title, acr, accuracy in (
            ("gaussian", "Gaussian augmentation", 0.343, 64.4),
            ("stability", "Stability training", 0.302, 60.7),
            ("smoothadv", "SmoothAdv", 0.447, 63.7),
            ("macer", "MACER", 0.409, 68.8),
            ("consistency", "Consistency regularisation", 0.444, 65.6),
            ("smoothmix", "SmoothMix", 0.446, 67.7),
            ("cat_rs", "CAT-RS", 0.475, 70.1),
        )
    ),
)
