"""CIFAR-10, ResNet-110: the rows of the Jeong et al. tables, then the original runs of Cohen, Salman and Zhai et al."""

from radii.rs_core.literature.preset_tables.row import (
    ADAMW,
    BAI,
    CATRS,
    COHEN,
    CONSISTENCY,
    MACER,
    MACER_HP,
    MIXING_NOTES,
    SALMAN,
    SGD,
    SIGMAS,
    SIGMAS_AND_012,
    SMOOTHMIX,
    PresetRow,
    PresetTable,
    disputed,
    guess,
    mixing_network,
    per,
    recalled,
    remark,
)

CENTRED = {"mean": [0.4914, 0.4822, 0.4465], "std": [1.0, 1.0, 1.0]}
LOGS = "released logs, full test set"
SLIDES = "table of the SmoothMix slides, full test set"
POSTER = "table of the CAT-RS poster, full test set"
GRID = "one point of the published grid: T 2, 4, 6, 8, 10; radius 64, 127, 255, 512 256ths; m 1, 2, 4, 8"
BEST = remark(f"the best ACR among the released logs without extra data; {GRID}")
COHENS = remark("of checkpoints that Cohen et al. trained, in batches of 400 for 90 epochs")
CHOSEN = guess(GRID)
DDN_CHOSEN = guess(f"{GRID}, under DDN also 16")
MOST = remark("of most released checkpoints: subtracts the mean and divides by nothing")

CIFAR10 = PresetTable(
    dataset="cifar10",
    title="CIFAR-10",
    training={
        "architecture": "cifar_resnet110",
        "normalization": "cifar10",
        "augmentation": "crop_flip",
        "learning_rate": 0.1,
        "lr_step": 50,
        "epochs": 150,
        "batch_size": 256,
        **SGD,
    },
    rows=(
        PresetRow(
            name="gaussian",
            title="Gaussian augmentation",
            sigmas=SIGMAS,
            method={"name": "gaussian"},
            source=CATRS,
            acr=(0.424, 0.525, 0.511),
            where=LOGS,
            notes={"published": COHENS},
        ),
        PresetRow(
            name="stability",
            title="Stability training",
            sigmas=SIGMAS,
            method={"name": "stability", "weight": per(2.0, 2.0, 1.0)},
            source=CATRS,
            acr=(0.420, 0.531, 0.514),
            where=LOGS,
            notes={
                "published": per(
                    disputed("0.421 in the SmoothMix slides"), disputed("0.521 in the SmoothMix slides"), None
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
            acr=(0.544, 0.684, 0.790),
            where=LOGS,
            notes={
                "published": remark(
                    "of checkpoints that Salman et al. released (radius 255, 255 and 512 256ths, learning rate dropped "
                    "on time), which are not the best of them: see smoothadv-salman"
                )
            },
        ),
        PresetRow(
            name="macer",
            title="MACER as Jeong et al. ran it",
            sigmas=SIGMAS,
            method={**MACER_HP, "weight": per(12.0, 4.0, 12.0), "deferred": per(False, False, True)},
            source=f"{CONSISTENCY}; {CATRS}",
            acr=(0.531, 0.691, 0.744),
            where=LOGS,
            notes={
                "method.weight": per(
                    None,
                    disputed("the CAT-RS training command says 6; its certified path and the Consistency logs say 4"),
                    None,
                )
            },
        ),
        PresetRow(
            name="consistency",
            title="Consistency regularisation",
            sigmas=SIGMAS,
            method={"name": "consistency", "m": 2, "weight": per(20.0, 10.0, 10.0), "eta": 0.5},
            source=f"{CONSISTENCY}, logs",
            acr=(0.552, 0.720, 0.756),
            where=LOGS,
        ),
        PresetRow(
            name="consistency-smoothadv",
            title="Consistency regularisation on SmoothAdv's adversarial examples",
            sigmas=SIGMAS,
            method={
                "name": "consistency",
                "m": per(4, 2, 2),
                "weight": per(2.0, 1.0, 1.0),
                "eta": 0.5,
                "attack": {"steps": 10, "epsilon": per(255 / 256, 2.0, 2.0), "warmup_epochs": 10},
            },
            source=f"{CONSISTENCY}, logs",
            acr=(0.548, 0.726, 0.816),
            where=LOGS,
        ),
        PresetRow(
            name="smoothmix",
            title="SmoothMix",
            sigmas=SIGMAS,
            method={
                "name": "smoothmix",
                "m": 2,
                "steps": 4,
                "step_size": per(0.5, 1.0, 2.0),
                "eta": 5.0,
                "mix_step": 0,
            },
            source=SMOOTHMIX,
            acr=(0.553, 0.715, 0.773),
            where=SLIDES,
            notes={
                "published": per(
                    None, disputed("the released log, of another run, gives 0.712"), remark("no log of it is public")
                )
            },
        ),
        PresetRow(
            name="smoothmix-one-step",
            title="SmoothMix with the one-step adversary",
            sigmas=SIGMAS,
            method={
                "name": "smoothmix",
                "m": 2,
                "steps": 4,
                "step_size": per(0.5, 1.0, 2.0),
                "eta": 5.0,
                "mix_step": 1,
            },
            source=SMOOTHMIX,
            acr=(0.548, 0.737, None),
            where=SLIDES,
            notes={"published": per(None, disputed("the released log, of another run, gives 0.736"), None)},
        ),
        PresetRow(
            name="cat_rs",
            title="CAT-RS",
            sigmas=SIGMAS,
            method={"name": "cat_rs", "m": 4, "steps": 4, "epsilon": 1.0, "weight": per(0.5, 1.0, 2.0)},
            source=CATRS,
            acr=(0.562, 0.757, 0.815),
            where=POSTER,
        ),
        PresetRow(
            name="gaussian-cohen",
            title="Gaussian augmentation as Cohen et al. ran it",
            sigmas=SIGMAS_AND_012,
            method={"name": "gaussian"},
            training={"batch_size": 400, "lr_step": 30, "epochs": 90, "lr_drop": "exact"},
            source=COHEN,
            acr=(None, 0.424, 0.525, 0.511),
            where="released checkpoints, certified on the full test set by Salman et al.",
            notes={
                "published": per(
                    None,
                    *(
                        remark(f"Cohen's own log of 500 images gives {acr}, with a largest radius of 3.91 sigma")
                        for acr in (0.429, 0.538)
                    ),
                    remark("Cohen's own log of 500 images gives 0.542"),
                )
            },
        ),
        PresetRow(
            name="smoothadv-salman",
            title="SmoothAdv as Salman et al. ran it",
            sigmas=SIGMAS_AND_012,
            method={
                "name": "smoothadv",
                "attack": "pgd",
                "m": per(8, 8, 8, 2),
                "steps": per(10, 10, 2, 10),
                "epsilon": per(64 / 256, 255 / 256, 2.0, 2.0),
            },
            training={"normalization": CENTRED, "lr_drop": "exact"},
            source=SALMAN,
            acr=(None, 0.551, 0.738, 0.790),
            where="released logs",
            notes={
                "normalization": MOST,
                "method.m": per(CHOSEN, None, None, None),
                "method.steps": per(CHOSEN, None, None, None),
                "method.epsilon": per(CHOSEN, None, None, None),
                "published": per(None, BEST, BEST, remark("the row of the tables of Jeong et al.")),
            },
        ),
        PresetRow(
            name="smoothadv-ddn",
            title="SmoothAdv with DDN as Salman et al. ran it",
            sigmas=SIGMAS_AND_012,
            method={
                "name": "smoothadv",
                "attack": "ddn",
                "m": 8,
                "steps": 10,
                "epsilon": per(64 / 256, 255 / 256, 2.0, 2.0),
            },
            training={"normalization": CENTRED, "lr_drop": "exact"},
            source=SALMAN,
            notes={
                "normalization": MOST,
                "method.m": DDN_CHOSEN,
                "method.steps": DDN_CHOSEN,
                "method.epsilon": DDN_CHOSEN,
            },
        ),
        PresetRow(
            name="smoothadv-finetune",
            title="SmoothAdv, fine-tuned from a classifier of ImageNet at 32 x 32",
            sigmas=SIGMAS_AND_012,
            method={
                "name": "smoothadv",
                "attack": "pgd",
                "m": per(8, 8, 8, 2),
                "steps": per(10, 10, 2, 10),
                "epsilon": per(64 / 256, 255 / 256, 2.0, 2.0),
            },
            training={"learning_rate": 0.001, "epochs": 30, "lr_step": 30, "lr_drop": "exact"},
            source=SALMAN,
            notes={
                "start_from": remark("give a checkpoint trained on ImageNet at 32 x 32"),
                "lr_step": guess("not known for the 30 epochs: no drop"),
                "method.m": CHOSEN,
                "method.steps": CHOSEN,
                "method.epsilon": CHOSEN,
            },
        ),
        PresetRow(
            name="macer-original",
            title="MACER as Zhai et al. ran it",
            sigmas=SIGMAS,
            method={**MACER_HP, "weight": per(12.0, 4.0, 12.0), "deferred": per(False, False, True)},
            training={
                "normalization": "none",
                "learning_rate": 0.01,
                "weight_decay": 5e-4,
                "batch_size": 64,
                "lr_step": 200,
                "epochs": 440,
                "lr_drop": "exact",
            },
            source=MACER,
            acr=(0.556, 0.726, 0.792),
            where="README, 500 images",
            notes={
                "method.weight": per(None, recalled("from the paper"), None),
                "method.deferred": per(None, None, recalled("from the paper; the released program has no such switch")),
                "published": per(
                    remark("0.531 on the full test set: the 500 images, 500 to 999, are easier"),
                    remark("500 images, 500 to 999, which are easier than the full test set"),
                    remark("500 images, 500 to 999, which are easier than the full test set"),
                ),
            },
        ),
        PresetRow(
            name="adaptive_smoothing",
            title="Adaptive Smoothing of two classifiers, the robust one trained on images of a diffusion model (EDM)",
            sigmas=(None,),
            endings=("edm",),
            alone=True,
            method=mixing_network(
                bce_weight=1.5,
                ce_weight=0.0,
                product_weight=0.3,
                gamma_scale=2.0,
                gamma_bias=1.05,
                least_weight=0.96,
                largest_weight=1.0,
                standard_scale=1.2,
                robust_scale=0.3,
            ),
            training={**ADAMW, "learning_rate": 5e-5},
            source=BAI,
            notes=MIXING_NOTES,
        ),
    ),
)
