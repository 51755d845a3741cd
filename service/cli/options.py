"""The flags of a job, shared by the local commands and ``submit``. Names, units and defaults are those of
``radii.rs_core.specs.jobs``; a flag that is not given leaves the file's value, else the default, which its help text tells.
"""

from pathlib import Path
from typing import Annotated

import typer

JOB = "Job"
NETWORK = "Training"
OPTIMISER = "Learning rate"
IMAGES = "Images"
SAMPLING = "Sampling"
INPUTS = "Inputs"
MACHINE = "Machine"

SpecFile = Annotated[
    Path | None,
    typer.Option(
        "--spec",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="TOML or JSON file with the job's fields; flags go before it, paths in it start here. (default: none)",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=JOB,
        help="Published setting, such as cifar10/smoothmix/0.5: `radii presets` lists them. Everything else that is "
        "given goes before it, and a --method of another name replaces its method. (default: none)",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        rich_help_panel=JOB,
        help="Any field of the job, such as method.steps=2 or certification.every=5; may be given often, and goes "
        "before everything else. VALUE is JSON, or a word. (default: none)",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        rich_help_panel=JOB,
        help="Data set: `digits`, or files: an .npz, idx or CIFAR .bin files (joined by commas), a CIFAR .tar.gz, "
        ".npy files of CIFAR-10-C (joined by commas, labels.npy among them), a zip of class folders; photos.zip@256/224 resizes its photographs to a shorter side of 256 pixels and cuts "
        "224x224 from the middle.",
    ),
]
Sigma = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=JOB,
        help="Noise level: standard deviation, in [0, 1]-pixel units. (default: the checkpoint's, if it says)",
    ),
]

Alpha = Annotated[
    float | None, typer.Option(rich_help_panel=SAMPLING, help="Failure probability, per input. (default: 0.001)")
]

Start = Annotated[int | None, typer.Option(rich_help_panel=INPUTS, help="Index of the first input. (default: 0)")]
Step = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=INPUTS, help="Take every STEP-th input; 20 on CIFAR-10 gives Cohen's 500. (default: 1)"
    ),
]
Priority = Annotated[
    int | None,
    typer.Option(rich_help_panel=JOB, help="-100 to 100; of your jobs, higher ones are worked on first. (default: 0)"),
]
Deadline = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=JOB,
        metavar="SECONDS",
        help="Seconds from now after which it is stopped; what it has found stays. (default: never)",
    ),
]
Count = Annotated[int | None, typer.Option(rich_help_panel=INPUTS, help="At most this many inputs. (default: all)")]


KnownArchitecture = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        rich_help_panel=JOB,
        metavar="NAME",
        help="Network of a checkpoint that does not say it, such as a bare state dict: `radii architectures` lists "
        "them. (default: what the file says)",
    ),
]
KnownNormalization = Annotated[
    str | None,
    typer.Option(
        "--normalization",
        rich_help_panel=JOB,
        help="First layer of a checkpoint that does not say it: none, cifar10, cifar100 or imagenet. "
        "(default: what the file says)",
    ),
]

Device = Annotated[
    str, typer.Option(rich_help_panel=MACHINE, help="auto (a GPU where there is one), cpu, cuda or cuda:N.")
]
Threads = Annotated[
    int | None, typer.Option(min=1, rich_help_panel=MACHINE, help="CPU threads. (default: as many as cores)")
]
