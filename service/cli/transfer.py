"""Commands that send files to a service (``upload``) or bring results back (``fetch``)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radii.service.cli.connection import DEFAULT_SERVER, ApiKey, JobId, Server, connect, connect_patiently
from radii.service.console import CommandError, note, say, table

if TYPE_CHECKING:
    from radii.service.client.client import Client, Job

FILES: dict[str, dict[str, str]] = {
    "report": {"report.html": "report.html", "report.json": "report.json", "report.csv": "report.csv"},
    "certificates": {"certificates.tsv": "certificates.tsv", "certificates.ndjson": "certificates.ndjson"},
    "predictions": {"predictions.csv": "predictions.csv", "predictions.ndjson": "predictions.ndjson"},
    "evaluations": {"evaluations.csv": "evaluations.csv", "evaluations.ndjson": "evaluations.ndjson"},
    "certified_accuracy": {"certified-accuracy.png": "plots/certified-accuracy.png"},
    "plot": {"evaluation.png": "plots/evaluation.png"},
    "corruptions": {"corruptions.png": "plots/corruptions.png"},
    "weights": {"weights.png": "plots/weights.png"},
    "epochs": {"epochs.json": "epochs"},
}
"""By the names of a job's links: the files that ``fetch`` writes, and where the job has them."""


def upload(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="Files to send.")],
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """Send files to the service, by their names."""
    with connect_patiently(server, api_key) as client:
        rows = [[made.name, f"{made.size:,}", made.sha256] for made in map(client.upload, files)]
    say(table(["name", "bytes", "sha256"], rows))


def fetch(
    job: JobId,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files go; made where it is not there.")],
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
) -> None:
    """Bring a job's results: report and certificates, predictions, or the trained checkpoint."""
    with connect(server, api_key) as client:
        found = client.job(job)
        files = files_of(found)
        if not files:
            raise CommandError(f"Job {job} is of kind {found.kind}, which has no results to fetch.")
        if not found.ended:
            note(f"The job is {found.state}: what comes is partial.")
        out.mkdir(parents=True, exist_ok=True)
        for name, place in files.items():
            found.download(place, out / name)
            say(str(out / name))
        if "epochs" in found.info.links:
            _fetch_checkpoint(client, found, out)


def files_of(job: "Job") -> dict[str, str]:
    """The files of a job's results, and where the job has them."""
    own = f"{job.info.links['self']}/"  # those of a request for predictions are elsewhere
    parts = [files for name, files in FILES.items() if job.info.links.get(name, "").startswith(own)]
    return {name: place for files in parts for name, place in files.items()}


def _fetch_checkpoint(client: "Client", job: "Job", out: Path) -> None:
    made = client.checkpoint(job.checkpoint_id) if job.checkpoint_id else None
    if made is None or made.sha256 is None:
        note("There is no checkpoint yet.")
        return
    target = out / "checkpoint.safetensors"
    client.http.download(f"/v1/blobs/{made.sha256}", target)
    say(str(target))
