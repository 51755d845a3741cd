"""ImageNet, ResNet-50, 500 images of the validation set; certified accuracies were printed as whole per cents."""

from radii.rs_core.literature.result_tables.row import POSTER, SLIDES, ResultRow, ResultTable, figures

SALMAN = "Salman et al. 2019, released logs"
LOOSE = "from logs whose largest radius is 3.91 sigma, which means alpha = 0.01; with alpha = 0.001 it is 3.81 sigma"
TRUNCATED = "truncated, not rounded: the log gives {}; one point of difference means nothing"
CAPTION = "the poster's caption says sigma = 0.5, but its radii and the log say 1.0"
DISPUTED = "disputed: the SmoothMix slides print 1.040, the CAT-RS poster 1.003, for the same accuracies"

IMAGENET = ResultTable(
    dataset="imagenet",
    title="ImageNet",
    architecture="resnet50",
    inputs=500,
    step=0.5,
    rows=(
        ResultRow(
            name="gaussian",
            title="Gaussian augmentation, replicas that Salman et al. trained",
            source=SALMAN,
            figures={0.25: figures(0.472), 0.5: figures(0.742), 1.0: figures(0.840)},
        ),
        ResultRow(
            name="gaussian-cohen",
            title="Gaussian augmentation as Cohen et al. ran it",
            source=f"{SLIDES}; the released log gives the same",
            figures={
                0.5: figures(0.733, 57, 46, 37, 29, note=LOOSE),
                1.0: figures(0.875, 44, 38, 33, 26, 19, 15, 12, 9, note=LOOSE),
            },
        ),
        ResultRow(
            name="smoothadv",
            title="SmoothAdv with one step of PGD",
            source=SLIDES,
            figures={
                0.5: figures(0.825, 54, 49, 43, 37, note="the released logs reach 0.849"),
                1.0: figures(1.040, 40, 37, 34, 30, 27, 25, 20, 15, note=DISPUTED),
            },
        ),
        ResultRow(
            name="smoothadv-poster",
            title="SmoothAdv, as in the CAT-RS poster",
            source=POSTER,
            figures={1.0: figures(1.003, 40, 37, 34, 30, 27, 25, 20, 15, note=f"{DISPUTED}; {CAPTION}")},
        ),
        ResultRow(
            name="smoothadv-salman",
            title="SmoothAdv, the best of the released checkpoints",
            source=SALMAN,
            figures={
                0.5: figures(0.849),
                1.0: figures(1.079, note="attacked up to a radius of 512/256; 1.048 up to 255/256"),
            },
        ),
        ResultRow(
            name="consistency",
            title="Consistency regularisation",
            source=SLIDES,
            figures={
                0.5: figures(0.822, 55, 50, 44, 34, note=TRUNCATED.format("55.0, 50.2, 44.0, 34.8")),
                1.0: figures(
                    *(0.982, 41, 37, 32, 28, 24, 21, 17, 14),
                    note=TRUNCATED.format("41.6, 37.4, 32.6, 28.0, 24.2, 21.0, 17.4, 14.2"),
                ),
            },
        ),
        ResultRow(
            name="smoothmix",
            title="SmoothMix",
            source=SLIDES,
            figures={
                0.5: figures(0.846, 55, 50, 43, 38, note="no log of it is public"),
                1.0: figures(1.047, 40, 37, 34, 30, 26, 24, 20, 17, note="no log of it is public"),
            },
        ),
        ResultRow(
            name="cat_rs",
            title="CAT-RS",
            source=f"{POSTER}; the released log gives the same",
            figures={1.0: figures(1.071, 44, 38, 35, 31, 27, 24, 20, 17, note=CAPTION)},
        ),
        ResultRow(
            name="gaussian-best",
            title="Gaussian augmentation, the best noise level at each radius",
            source="Salman et al. 2019, arXiv 1906.04584, of Cohen et al. 2019",
            first=0.5,
            figures={None: figures(None, 49, 37, 29, 19, 15, 12, 9, note="of several classifiers")},
        ),
        ResultRow(
            name="smoothadv-best",
            title="SmoothAdv, the best classifier at each radius",
            source="Salman et al. 2019, arXiv 1906.04584",
            first=0.5,
            figures={None: figures(None, 56, 43, 37, 27, 25, 20, 16, note="of several classifiers")},
        ),
    ),
)
