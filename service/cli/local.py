"""Commands that work on local files, with no service: ``train``, ``certify`` and ``predict``.

What they run is in ``local.train`` and ``local.certify``, which need torch and are imported on use.
"""

from pathlib import Path
from typing import Annotated

import typer

from radii.service.cli import options as o
from radii.service.cli.job_options import Flags, with_fields_of
from radii.service.cli.specs import spec_of

Results = Annotated[
    Path,
    typer.Option(
        metavar="FILE.tsv",
        help="Results, written as they come; all votes go to FILE.ndjson. The same command again goes on from there.",
    ),
]


@with_fields_of("train")
def train(
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Checkpoint to write (.safetensors). A run that was stopped goes on from FILE.snapshot beside it.",
        ),
    ],
    flags: Flags,
    spec: o.SpecFile = None,
    preset: o.Preset = None,
    sets: o.Set = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
) -> None:
    """Train a base classifier under noise, and write its checkpoint."""
    from radii.rs_core.specs.jobs import TrainSpec
    from radii.service.local.train import run

    asked = spec_of(TrainSpec, spec, {"preset": preset, **flags}, sets)
    run(asked, out, device=device, threads=threads)


@with_fields_of("certify")
def certify(
    out: Results,
    flags: Flags,
    spec: o.SpecFile = None,
    architecture: o.KnownArchitecture = None,
    normalization: o.KnownNormalization = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
) -> None:
    """Certify inputs: class and l2 radius of each, true with probability 1 - alpha; then print the report."""
    from radii.rs_core.specs.jobs import CertifySpec
    from radii.service.local import certify as local

    hints = {"architecture": architecture, "normalization": normalization}
    local.certify(spec_of(CertifySpec, spec, flags), out, device=device, threads=threads, hints=hints)


@with_fields_of("predict")
def predict(
    out: Results,
    flags: Flags,
    spec: o.SpecFile = None,
    architecture: o.KnownArchitecture = None,
    normalization: o.KnownNormalization = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
) -> None:
    """Predict inputs: the smoothed classifier's class of each, or an abstention; then print the accuracy."""
    from radii.rs_core.specs.jobs import PredictSpec
    from radii.service.local import certify as local

    hints = {"architecture": architecture, "normalization": normalization}
    local.predict(spec_of(PredictSpec, spec, flags), out, device=device, threads=threads, hints=hints)
