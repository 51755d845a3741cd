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
TestDataset = Annotated[
    str | None,
    typer.Option(
        metavar="DATA", rich_help_panel=JOB, help="Data set for accuracy under noise after each epoch. (default: none)"
    ),
]
Checkpoint = Annotated[
    str | None,
    typer.Option(metavar="FILE", rich_help_panel=JOB, help="Checkpoint: a .safetensors file, or a research .pth.tar."),
]
Sigma = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=JOB,
        help="Noise level: standard deviation, in [0, 1]-pixel units. (default: the checkpoint's, if it says)",
    ),
]
TrainSigma = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=JOB,
        help="Noise level: standard deviation, in [0, 1]-pixel units. (default: the preset's; without one it is needed)",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(rich_help_panel=JOB, help="Names every noise stream: equal seeds, equal counts. (default: 0)"),
]

N0 = Annotated[
    int | None,
    typer.Option("--n0", rich_help_panel=SAMPLING, help="Noise samples for selection, per input. (default: 100)"),
]
N = Annotated[
    int | None,
    typer.Option("--n", rich_help_panel=SAMPLING, help="Noise samples for estimation, per input. (default: 100000)"),
]
PredictN = Annotated[
    int | None, typer.Option("--n", rich_help_panel=SAMPLING, help="Noise samples per input. (default: 1000)")
]
Alpha = Annotated[
    float | None, typer.Option(rich_help_panel=SAMPLING, help="Failure probability, per input. (default: 0.001)")
]
Sampling = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=SAMPLING,
        help="fixed: n samples each, as in papers; pilot: full radii for about half of the samples, at 1 % less ACR; "
        "at_radii: certified accuracy at --radii for 10 to 50 times fewer; anytime: certificates that hold whenever you stop. "
        "(default: fixed)",
    ),
]
Radii = Annotated[
    str | None,
    typer.Option(
        metavar="R,R,...",
        rich_help_panel=SAMPLING,
        help="Where at_radii settles each input: l2 radii, such as 0.25,0.5,1. (default: none)",
    ),
]
Bound = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=SAMPLING,
        help="one_sided, or two_class, which certifies more where no class has most of the votes; with fixed and pilot; or "
        "mixed, of a checkpoint that mixes a standard and a robust classifier. (default: one_sided)",
    ),
]
RobustWeight = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=SAMPLING,
        help="With --bound mixed: weight of the robust classifier. (default: the checkpoint's)",
    ),
]
Noise = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=SAMPLING,
        help="gaussian, or discrete: on the grid of 8-bit images, out of reach of rounding attacks. (default: gaussian)",
    ),
]
Guarantee = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=SAMPLING,
        help="per_input: each certificate fails with probability alpha; dataset: any of them does. (default: per_input)",
    ),
]
SamplePrecision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        rich_help_panel=SAMPLING,
        help="Of the forward passes: fp32 or bf16, a network of its own that is certified as run. (default: fp32)",
    ),
]
AnyPrecision = Annotated[
    str | None,
    typer.Option("--precision", rich_help_panel=MACHINE, help="Of the passes: fp32 or bf16. (default: fp32)"),
]
SampleBatch = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        rich_help_panel=SAMPLING,
        help="Noise samples per forward pass, at most: a multiple of 100, or a divisor of it. (default: 100; for "
        "long work the fastest that is found)",
    ),
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

Architecture = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=NETWORK,
        metavar="NAME",
        help="Network: `radii architectures` lists them. (default: the preset's; without one it is needed)",
    ),
]
Normalization = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=NETWORK,
        help="First layer of the model, after the noise: none, cifar10, cifar100 or imagenet. (default: none)",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=NETWORK,
        help="Training method: `radii methods` lists them with their hyper-parameters, --set changes those, and "
        "`radii presets` shows what was published with which. (default: gaussian)",
    ),
]
Epochs = Annotated[
    int | None, typer.Option(rich_help_panel=NETWORK, help="Passes over the training inputs. (default: 150)")
]
TrainBatch = Annotated[
    int | None, typer.Option("--batch-size", rich_help_panel=NETWORK, help="Images per loader batch. (default: 256)")
]
StartFrom = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=NETWORK,
        help="Checkpoint to fine-tune; its last layer starts anew where the classes differ in number. (default: none)",
    ),
]
Keep = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=NETWORK,
        help="Weights of the checkpoint: of the last epoch, or of the best in test_accuracy, acr (of the certification, "
        "see --set) or loss. (default: last)",
    ),
]
Optimizer = Annotated[
    str | None,
    typer.Option(rich_help_panel=OPTIMISER, help="sgd, with momentum, or adamw. (default: sgd)"),
]
LearningRate = Annotated[
    float | None, typer.Option(rich_help_panel=OPTIMISER, help="Learning rate of the first epochs. (default: 0.1)")
]
Momentum = Annotated[float | None, typer.Option(rich_help_panel=OPTIMISER, help="Momentum of SGD. (default: 0.9)")]
WeightDecay = Annotated[
    float | None, typer.Option(rich_help_panel=OPTIMISER, help="Weight decay, on all parameters. (default: 0.0001)")
]
ClipNorm = Annotated[
    float | None,
    typer.Option(rich_help_panel=OPTIMISER, help="Largest l2 norm of a step's gradient. (default: none)"),
]
Schedule = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=OPTIMISER, help="Of the learning rate: step, with drops, or cosine, down to 0. (default: step)"
    ),
]
LrWarmup = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=OPTIMISER, help="Share of all steps over which the rate warms up, such as 0.04. (default: 0)"
    ),
]
LrStep = Annotated[
    int | None,
    typer.Option(rich_help_panel=OPTIMISER, help="Epochs between two drops of the learning rate. (default: 50)"),
]
LrGamma = Annotated[float | None, typer.Option(rich_help_panel=OPTIMISER, help="Factor of one drop. (default: 0.1)")]
LrDrop = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=OPTIMISER,
        help="When a drop comes: published, one epoch late as in the released logs, or exact. (default: published)",
    ),
]

Augmentation = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=IMAGES,
        help="none; crop_flip: random crops after 4 pixels of padding, then mirror images; or resized_crop_flip: random "
        "parts, resized, then mirror images. (default: none)",
    ),
]
CropSize = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=IMAGES, help="Side of what resized_crop_flip gives, in pixels. (default: the images' own)"
    ),
]

Precision = Annotated[
    str | None,
    typer.Option(rich_help_panel=MACHINE, help="Of the forward and backward passes: fp32 or bf16. (default: fp32)"),
]
MemoryFormat = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=MACHINE, help="Order of the activations: contiguous or channels_last. (default: contiguous)"
    ),
]
ForwardBatch = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=MACHINE,
        help="Keep the activations of so many noisy images and compute the others again: less memory, more time, the "
        "same mathematics. (default: keep all)",
    ),
]
LoaderProcesses = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=MACHINE, help="Processes that read and augment images ahead; no result changes. (default: 0)"
    ),
]

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
