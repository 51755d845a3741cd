"""CIFAR-10, ResNet-110, all 10,000 test images unless a note says otherwise."""

from radii.rs_core.literature.result_tables.row import POSTER, PRINTED, SLIDES, ResultRow, ResultTable, figures

LOGS = "released logs"
SALMAN = "Salman et al. 2019, released logs"
NO_LOG = "no log of it is public"
EASIER = "of 500 images, 500 to 999, which are easier than the full test set: {} there"

CIFAR10 = ResultTable(
    dataset="cifar10",
    title="CIFAR-10",
    architecture="cifar_resnet110",
    inputs=10_000,
    rows=(
        ResultRow(
            name="gaussian",
            title="Gaussian augmentation",
            source=PRINTED,
            figures={
                0.25: figures(0.424, 76.6, 61.2, 42.2, 25.1),
                0.5: figures(0.525, 65.7, 54.9, 42.8, 32.5, 22.0, 14.1, 8.3, 3.9),
                1.0: figures(
                    *(0.511, 47.1, 40.9, 33.8, 27.7, 22.1, 17.2, 13.3, 9.7, 6.6, 4.3, 2.7),
                    note="garbled in the CAT-RS poster: these are the figures of the released log",
                ),
            },
        ),
        ResultRow(
            name="stability",
            title="Stability training",
            source=f"{POSTER}; the released log gives the same",
            figures={
                0.25: figures(0.420, 73.0, 58.9, 42.9, 26.8, note="disputed: the SmoothMix slides print 0.421"),
                0.5: figures(
                    *(0.531, 62.1, 52.6, 42.7, 33.3, 23.8, 16.1, 9.8, 4.7),
                    note="disputed: the SmoothMix slides print 0.521",
                ),
                1.0: figures(0.514, 43.0, 37.8, 32.5, 27.5, 23.1, 18.8, 14.7, 11.0, 7.7, 5.2, 3.1),
            },
        ),
        ResultRow(
            name="stability-slides",
            title="Stability training, as in the SmoothMix slides",
            source=SLIDES,
            figures={
                0.25: figures(0.421, 72.3, 58.0, 43.3, 27.3, note=f"disputed: the poster prints 0.420; {NO_LOG}"),
                0.5: figures(
                    *(0.521, 60.6, 51.5, 41.4, 32.5, 23.9, 15.3, 9.6, 5.0),
                    note=f"disputed: the poster prints 0.531; {NO_LOG}",
                ),
            },
        ),
        ResultRow(
            name="smoothadv",
            title="SmoothAdv",
            source=PRINTED,
            figures={
                0.25: figures(0.544, 73.4, 65.6, 57.0, 47.5),
                0.5: figures(0.684, 65.3, 57.8, 49.9, 41.7, 33.7, 26.0, 19.5, 12.9),
                1.0: figures(0.790, 43.7, 40.3, 36.9, 33.8, 30.5, 27.0, 24.0, 21.4, 18.4, 15.9, 13.4),
            },
        ),
        ResultRow(
            name="smoothadv-salman",
            title="SmoothAdv, the best of the released checkpoints without extra data",
            source=SALMAN,
            figures={0.25: figures(0.551), 0.5: figures(0.738), 1.0: figures(0.790)},
        ),
        ResultRow(
            name="macer",
            title="MACER as Jeong et al. ran it",
            source=PRINTED,
            figures={
                0.25: figures(0.531, 79.5, 69.0, 55.8, 40.6),
                0.5: figures(0.691, 64.2, 57.5, 49.9, 42.3, 34.8, 27.6, 20.2, 12.6),
                1.0: figures(0.744, 41.4, 38.5, 35.2, 32.3, 29.3, 26.4, 23.4, 20.2, 17.4, 14.5, 12.1),
            },
        ),
        ResultRow(
            name="macer-original",
            title="MACER as Zhai et al. ran it",
            source="Zhai et al. 2020, README of RuntianZ/macer",
            inputs=500,
            figures={
                0.25: figures(0.556, note=EASIER.format("0.531")),
                0.5: figures(0.726, note=EASIER.format("not known")),
                1.0: figures(0.792, note=EASIER.format("not known")),
            },
        ),
        ResultRow(
            name="consistency",
            title="Consistency regularisation",
            source=PRINTED,
            figures={
                0.25: figures(0.552, 75.8, 67.6, 58.1, 46.7),
                0.5: figures(0.720, 64.3, 57.5, 50.6, 43.2, 36.2, 29.5, 22.8, 16.1),
                1.0: figures(0.756, 46.3, 42.2, 38.1, 34.3, 30.0, 26.3, 22.9, 19.7, 16.6, 13.8, 11.3),
            },
        ),
        ResultRow(
            name="consistency-smoothadv",
            title="Consistency regularisation on SmoothAdv's adversarial examples",
            source=f"Jeong and Shin 2020, {LOGS}",
            figures={0.25: figures(0.548), 0.5: figures(0.726), 1.0: figures(0.816)},
        ),
        ResultRow(
            name="smoothmix",
            title="SmoothMix",
            source=SLIDES,
            figures={
                0.25: figures(0.553, 77.1, 67.9, 57.9, 46.7),
                0.5: figures(
                    *(0.715, 65.0, 56.7, 49.2, 41.2, 34.5, 29.6, 23.5, 18.1),
                    note="disputed: the released log, of another run, gives 0.712; the row as printed has no log",
                ),
                1.0: figures(0.773, 45.1, 41.5, 37.5, 33.8, 30.2, 26.7, 23.4, 20.2, 17.2, 14.7, 12.1, note=NO_LOG),
            },
        ),
        ResultRow(
            name="smoothmix-one-step",
            title="SmoothMix with the one-step adversary",
            source=SLIDES,
            figures={
                0.25: figures(0.548, 74.2, 66.1, 57.4, 47.7),
                0.5: figures(
                    *(0.737, 61.8, 55.9, 49.5, 43.3, 37.2, 31.7, 25.7, 19.8),
                    note="disputed: the released log, of another run, gives 0.736",
                ),
            },
        ),
        ResultRow(
            name="smoothmix-one-step-log",
            title="SmoothMix with the one-step adversary, another run",
            source=f"Jeong, Kim and Shin 2023, {LOGS}",
            figures={
                0.5: figures(
                    *(0.736, 63.5, 57.2, 50.5, 43.4, 36.7, 30.6, 24.7, 19.1),
                    note="from another run than the row printed for SmoothMix, though the log has its name",
                )
            },
        ),
        ResultRow(
            name="cat_rs",
            title="CAT-RS",
            source=f"{POSTER}; the released log gives the same",
            figures={
                0.25: figures(0.562, 76.3, 68.1, 58.8, 48.2),
                0.5: figures(0.757, 62.3, 56.8, 50.5, 44.6, 38.5, 32.7, 27.1, 20.6),
                1.0: figures(0.815, 43.2, 40.2, 37.2, 34.3, 31.0, 28.1, 24.9, 22.0, 19.3, 16.8, 14.2),
            },
        ),
        ResultRow(
            name="gaussian-best",
            title="Gaussian augmentation, the best noise level at each radius",
            source="Salman et al. 2019, arXiv 1906.04584, of Cohen et al. 2019",
            first=0.25,
            inputs=None,
            figures={None: figures(None, 60, 43, 32, 23, 17, 14, 12, 10, 8, note="of several classifiers")},
        ),
        ResultRow(
            name="smoothadv-best",
            title="SmoothAdv, the best classifier at each radius",
            source="Salman et al. 2019, arXiv 1906.04584",
            first=0.25,
            inputs=None,
            figures={None: figures(None, 74, 57, 48, 38, 33, 29, 24, 19, 17, note="of several classifiers")},
        ),
    ),
)
