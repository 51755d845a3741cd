"""CIFAR-100, ResNet-110. Commands are public for three noise levels, results for 0.25 and 0.5."""

from radii.rs_core.literature.preset_tables.cifar10 import CIFAR10
from radii.rs_core.literature.preset_tables.row import (
    ADAMW,
    BAI,
    CATRS,
    MACER_HP,
    MIXING_NOTES,
    SIGMAS,
    PresetRow,
    PresetTable,
    disputed,
    mixing_network,
    per,
    remark,
)

LOGS = "released logs, full test set"

CIFAR100 = PresetTable(
    dataset="cifar100",
    title="CIFAR-100",
    training={**CIFAR10.training, "normalization": "cifar100"},
    rows=(
        PresetRow(
            name="gaussian",
            title="Gaussian augmentation",
            sigmas=SIGMAS,
            method={"name": "gaussian"},
            source=CATRS,
            acr=(0.228, 0.259, None),
            where=LOGS,
        ),
        PresetRow(
            name="stability",
            title="Stability training",
            sigmas=SIGMAS,
            method={"name": "stability", "weight": per(2.0, 2.0, 1.0)},
            source=CATRS,
            acr=(0.159, 0.078, None),
            where=LOGS,
            notes={
                "published": per(
                    None,
                    remark("the published run failed: accuracy 16.7 % in training and 9.1 % on the test set"),
                    None,
                )
            },
        ),
        PresetRow(
            name="smoothadv",
            title="SmoothAdv",
            sigmas=SIGMAS,
            method={
                "name": "smoothadv",
                "attack": "pgd",
                "m": per(4, 8, 2),
                "steps": 10,
                "epsilon": per(1.0, 1.0, 2.0),
            },
            source=CATRS,
            acr=(0.298, 0.342, None),
            where=LOGS,
        ),
        PresetRow(
            name="macer",
            title="MACER",
            sigmas=SIGMAS,
            method={**MACER_HP, "weight": per(12.0, 4.0, 12.0), "deferred": per(False, False, True)},
            source=CATRS,
            acr=(0.283, 0.314, None),
            where=LOGS,
            notes={
                "method.weight": per(
                    None,
                    disputed("the training command says 6; the path of the checkpoint that was certified says 4"),
                    None,
                )
            },
        ),
        PresetRow(
            name="consistency",
            title="Consistency regularisation",
            sigmas=SIGMAS,
            method={"name": "consistency", "m": 2, "weight": per(20.0, 10.0, 10.0), "eta": 0.5},
            source=CATRS,
            acr=(0.263, 0.275, None),
            where=LOGS,
        ),
        PresetRow(
            name="smoothmix",
            title="SmoothMix, from noise 0.5 on with the one-step adversary",
            sigmas=SIGMAS,
            method={
                "name": "smoothmix",
                "m": 2,
                "steps": 4,
                "step_size": per(0.5, 1.0, 2.0),
                "eta": 5.0,
                "mix_step": per(0, 1, 1),
            },
            source=CATRS,
            acr=(0.295, 0.352, None),
            where=LOGS,
        ),
        PresetRow(
            name="cat_rs",
            title="CAT-RS",
            sigmas=SIGMAS,
            method={"name": "cat_rs", "m": 4, "steps": 4, "epsilon": 1.0, "weight": per(0.5, 1.0, 2.0)},
            source=CATRS,
            acr=(0.312, 0.368, None),
            where=LOGS,
        ),
        PresetRow(
            name="adaptive_smoothing",
            title="Adaptive Smoothing of two classifiers, the robust one trained on images of a diffusion model (EDM), or by TRADES",
            sigmas=(None, None),
            endings=("edm", "trades"),
            alone=True,
            method=mixing_network(
                bce_weight=per(1.5, 1.0),
                ce_weight=per(0.0, 0.5),
                product_weight=per(0.2, 0.1),
                gamma_scale=2.0,
                gamma_bias=per(1.3, 1.0),
                least_weight=per(0.84, 0.815),
                largest_weight=per(0.99, 0.915),
                standard_scale=2.0,
                robust_scale=1.0,
            ),
            training={**ADAMW, "learning_rate": per(5e-5, 1e-4)},
            source=BAI,
            notes=MIXING_NOTES,
        ),
    ),
)
