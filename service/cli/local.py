"""Commands that work on local files, with no service: ``train``, ``certify`` and ``predict``.

What they run is in ``local.train`` and ``local.certify``, which need torch and are imported on use.
"""

from pathlib import Path
from typing import Annotated

import typer

from radii.service.cli import options as o
from radii.service.cli.specs import listed, spec_of

Results = Annotated[
    Path,
    typer.Option(
        metavar="FILE.tsv",
        help="Results, written as they come; all votes go to FILE.ndjson. The same command again goes on from there.",
    ),
]


def train(
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Checkpoint to write (.safetensors). A run that was stopped goes on from FILE.snapshot beside it.",
        ),
    ],
    spec: o.SpecFile = None,
    preset: o.Preset = None,
    sets: o.Set = None,
    dataset: o.Dataset = None,
    test_dataset: o.TestDataset = None,
    sigma: o.TrainSigma = None,
    seed: o.Seed = None,
    architecture: o.Architecture = None,
    normalization: o.Normalization = None,
    method: o.Method = None,
    epochs: o.Epochs = None,
    batch_size: o.TrainBatch = None,
    start_from: o.StartFrom = None,
    keep: o.Keep = None,
    optimizer: o.Optimizer = None,
    learning_rate: o.LearningRate = None,
    momentum: o.Momentum = None,
    weight_decay: o.WeightDecay = None,
    clip_norm: o.ClipNorm = None,
    schedule: o.Schedule = None,
    lr_warmup: o.LrWarmup = None,
    lr_step: o.LrStep = None,
    lr_gamma: o.LrGamma = None,
    lr_drop: o.LrDrop = None,
    augmentation: o.Augmentation = None,
    crop_size: o.CropSize = None,
    start: o.Start = None,
    step: o.Step = None,
    count: o.Count = None,
    precision: o.Precision = None,
    memory_format: o.MemoryFormat = None,
    forward_batch: o.ForwardBatch = None,
    loader_processes: o.LoaderProcesses = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
) -> None:
    """Train a base classifier under noise, and write its checkpoint."""
    flags = {
        "preset": preset,
        "dataset": dataset,
        "test_dataset": test_dataset,
        "sigma": sigma,
        "seed": seed,
        "architecture": architecture,
        "normalization": normalization,
        "method": method,
        "epochs": epochs,
        "batch_size": batch_size,
        "start_from": start_from,
        "keep": keep,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "schedule": schedule,
        "lr_warmup": lr_warmup,
        "lr_step": lr_step,
        "lr_gamma": lr_gamma,
        "lr_drop": lr_drop,
        "augmentation": augmentation,
        "crop_size": crop_size,
        "start": start,
        "step": step,
        "count": count,
        "precision": precision,
        "memory_format": memory_format,
        "forward_batch": forward_batch,
        "loader_processes": loader_processes,
    }
    from radii.rs_core.specs.jobs import TrainSpec
    from radii.service.local.train import run

    run(spec_of(TrainSpec, spec, flags, sets), out, device=device, threads=threads)


def certify(
    out: Results,
    spec: o.SpecFile = None,
    checkpoint: o.Checkpoint = None,
    dataset: o.Dataset = None,
    sigma: o.Sigma = None,
    seed: o.Seed = None,
    sampling: o.Sampling = None,
    radii: o.Radii = None,
    bound: o.Bound = None,
    robust_weight: o.RobustWeight = None,
    noise: o.Noise = None,
    guarantee: o.Guarantee = None,
    n0: o.N0 = None,
    n: o.N = None,
    alpha: o.Alpha = None,
    precision: o.SamplePrecision = None,
    batch_size: o.SampleBatch = None,
    start: o.Start = None,
    step: o.Step = None,
    count: o.Count = None,
    architecture: o.KnownArchitecture = None,
    normalization: o.KnownNormalization = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
) -> None:
    """Certify inputs: class and l2 radius of each, true with probability 1 - alpha; then print the report."""
    flags = {
        "checkpoint": checkpoint,
        "dataset": dataset,
        "sigma": sigma,
        "seed": seed,
        "sampling": sampling,
        "radii": listed(radii),
        "bound": bound,
        "robust_weight": robust_weight,
        "noise": noise,
        "guarantee": guarantee,
        "n0": n0,
        "n": n,
        "alpha": alpha,
        "precision": precision,
        "batch_size": batch_size,
        "start": start,
        "step": step,
        "count": count,
    }
    from radii.rs_core.specs.jobs import CertifySpec
    from radii.service.local.certify import run

    hints = {"architecture": architecture, "normalization": normalization}
    run(spec_of(CertifySpec, spec, flags), out, device=device, threads=threads, hints=hints)


def predict(
    out: Results,
    spec: o.SpecFile = None,
    checkpoint: o.Checkpoint = None,
    dataset: o.Dataset = None,
    sigma: o.Sigma = None,
    seed: o.Seed = None,
    n: o.PredictN = None,
    alpha: o.Alpha = None,
    batch_size: o.SampleBatch = None,
    start: o.Start = None,
    step: o.Step = None,
    count: o.Count = None,
    architecture: o.KnownArchitecture = None,
    normalization: o.KnownNormalization = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
) -> None:
    """Predict inputs: the smoothed classifier's class of each, or an abstention; then print the accuracy."""
    flags = {
        "checkpoint": checkpoint,
        "dataset": dataset,
        "sigma": sigma,
        "seed": seed,
        "n": n,
        "alpha": alpha,
        "batch_size": batch_size,
        "start": start,
        "step": step,
        "count": count,
    }
    from radii.rs_core.specs.jobs import PredictSpec
    from radii.service.local.certify import run

    hints = {"architecture": architecture, "normalization": normalization}
    run(spec_of(PredictSpec, spec, flags), out, device=device, threads=threads, hints=hints)
