"""Commands that send files to a service (``upload``, ``add-dataset``, ``add-checkpoint``) or bring results back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.connection import DEFAULT_SERVER, ApiKey, JobId, Server, connect, connect_patiently
from service.commands.console import CommandError, note, say, table

if TYPE_CHECKING:
    from service.client import Client, Job

RESULTS = {
    "certify": {
        "report.html": "report.html",
        "report.json": "report.json",
        "report.csv": "report.csv",
        "certificates.tsv": "certificates.tsv",
        "certificates.ndjson": "certificates.ndjson",
        "certified-accuracy.png": "plots/certified-accuracy.png",
    },
    "predict": {"predictions.csv": "predictions.csv", "predictions.ndjson": "predictions.ndjson"},
    "soft_labels": {"predictions.csv": "predictions.csv", "predictions.ndjson": "predictions.ndjson"},
    "evaluate": {
        "report.html": "report.html",
        "report.json": "report.json",
        "report.csv": "report.csv",
        "evaluations.csv": "evaluations.csv",
        "evaluations.ndjson": "evaluations.ndjson",
        "evaluation.png": "plots/evaluation.png",
    },
    "train": {"epochs.json": "epochs"},
}
"""By kind of job: the files that ``fetch`` writes, and where the job has them."""
ON_CORRUPTED = {"corruptions.png": "plots/corruptions.png"}
"""And those of a certification on corrupted images."""

Name = Annotated[str, typer.Argument(help="A name for people; it need not be unique.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until the service has read it. (default: wait)")]


def upload(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="Files to send.")],
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """Send files to the service, by their names."""
    with connect_patiently(server, api_key) as client:
        rows = [[made.name, f"{made.size:,}", made.sha256] for made in map(client.upload, files)]
    say(table(["name", "bytes", "sha256"], rows))


def add_dataset(
    name: Name,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", exists=True, dir_okay=False, show_default=False, help="Files of the data set."
        ),
    ] = None,
    builtin: Annotated[
        str | None, typer.Option(metavar="NAME", help="A built-in data set in place of files: digits. (default: none)")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="npz, idx, cifar, zip or cifar10c. (default: told from the content)"),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="All classes in the order of their labels. (default: what the files say)"),
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            min=1,
            max=4096,
            help="Of a zip of class folders: resize each photograph to this shorter side. (default: as it is)",
        ),
    ] = None,
    center_crop: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS", min=1, max=4096, help="Then cut the square of this side from its middle. (default: all)"
        ),
    ] = None,
    no_wait: NoWait = False,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """Send a data set's files, register it, and print its identifier."""
    names = None if class_names is None else [part.strip() for part in class_names.split(",")]
    with connect_patiently(server, api_key) as client:
        made = client.add_dataset(
            name,
            files or None,
            builtin=builtin,
            format=format,
            class_names=names,
            resize=resize,
            center_crop=center_crop,
            wait=not no_wait,
        )
    if made.state == "ready":
        note(f"{made.count:,} images of shape {made.shape}, {made.num_classes} classes.")
    say(made.id)


def add_checkpoint(
    name: Name,
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A .safetensors, .pt, .pth or .pth.tar file.")
    ],
    architecture: Annotated[
        str | None,
        typer.Option(help="Network: `radii architectures` lists them. (default: what the file says)"),
    ] = None,
    num_classes: Annotated[int | None, typer.Option(help="Number of classes. (default: what the file says)")] = None,
    input_shape: Annotated[
        str | None, typer.Option(metavar="C,H,W", help="Shape of an image. (default: what the file says)")
    ] = None,
    normalization: Annotated[
        str | None,
        typer.Option(
            help="First layer, after the noise: none, cifar10, cifar100, imagenet. (default: what the file says)"
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(help="Noise level it was trained with, in [0, 1]-pixel units. (default: what the file says)"),
    ] = None,
    method: Annotated[str | None, typer.Option(help="How it was trained. (default: what the file says)")] = None,
    no_wait: NoWait = False,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """Send a checkpoint, register it, and print its identifier."""
    known: dict[str, Any] = {
        "architecture": architecture,
        "num_classes": num_classes,
        "input_shape": _shape(input_shape),
        "normalization": normalization,
        "sigma": sigma,
        "method": method,
    }
    with connect_patiently(server, api_key) as client:
        made = client.add_checkpoint(name, file, wait=not no_wait, **known)
    if made.state == "ready":
        note(
            f"{made.architecture}, images of shape {made.input_shape}, {made.num_classes} classes, sigma {made.sigma}."
        )
    say(made.id)


def fetch(
    job: JobId,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files go; made where it is not there.")],
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """Bring a job's results: report and certificates, predictions, or the trained checkpoint."""
    with connect(server, api_key) as client:
        found = client.job(job)
        if found.kind not in RESULTS:
            raise CommandError(f"Job {job} is of kind {found.kind}, which has no results to fetch.")
        if not found.ended:
            note(f"The job is {found.state}: what comes is partial.")
        out.mkdir(parents=True, exist_ok=True)
        files = RESULTS[found.kind] | (ON_CORRUPTED if "corruptions" in found.info.links else {})
        for name, place in files.items():
            found.download(place, out / name)
            say(str(out / name))
        if found.kind == "train":
            _fetch_checkpoint(client, found, out)


def _fetch_checkpoint(client: "Client", job: "Job", out: Path) -> None:
    made = client.checkpoint(job.checkpoint_id) if job.checkpoint_id else None
    if made is None or made.sha256 is None:
        note("There is no checkpoint yet.")
        return
    target = out / "checkpoint.safetensors"
    client.http.download(f"/v1/blobs/{made.sha256}", target)
    say(str(target))


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"expected C,H,W, got {text!r}", param_hint="--input-shape") from None
