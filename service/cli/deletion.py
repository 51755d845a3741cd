"""What `radii delete` shows before it deletes: each thing with its kind, name and size, and what refers to it."""

import re
import sys
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import typer

from radii.service.console import CommandError, note

if TYPE_CHECKING:
    from radii.service.client.client import Client
    from radii.service.client.job import Job

LOOKED_AT = 1_000
"""The latest jobs, which are looked through for what refers to a thing."""
SHOWN = 3


def confirm(client: "Client", things: Sequence[str]) -> None:
    """Shows what will be deleted and asks; raises :class:`CommandError` where nobody can be asked, ends the command where the
    answer is no."""
    if not sys.stdin.isatty():
        raise CommandError(
            "expected a terminal to ask at, or --yes to delete without asking, got neither; nothing was deleted."
        )
    described = [describe(client, thing) for thing in things]
    jobs = list(islice(client.jobs(), LOOKED_AT))
    note("This will be deleted permanently:")
    for thing, line in zip(things, described, strict=True):
        users = [job.id for job in jobs if job.id not in things and _names(job, thing)]
        more = f" and {len(users) - SHOWN} more" if len(users) > SHOWN else ""
        note(f"  {line}" + (f"; named by {', '.join(users[:SHOWN])}{more}, whose results stay" if users else ""))
    if not typer.confirm("Delete?", default=False, err=True):
        note("Nothing was deleted.")
        raise typer.Exit(1)


def describe(client: "Client", thing: str) -> str:
    """One line about a thing: kind, name, size."""
    found = re.fullmatch(r"(job|ds|ckpt|parts)_[0-9a-f]{28}", thing)
    if found is None:
        upload = next((each for each in client.uploads() if each.name == thing or each.id == thing), None)
        if upload is None:
            raise CommandError(
                "expected the identifier of a job, dataset, checkpoint or unfinished upload, or the name of an upload, got "
                f"{thing!r}."
            )
        return f"upload {upload.name}, {upload.size:,} bytes"
    if found[1] == "job":
        job = client.job(thing).info
        return f"job {job.id}, {job.kind}, {job.state}, with results of {job.progress.done:,} {job.progress.unit}"
    if found[1] == "parts":
        return _unfinished(client, thing)
    if found[1] == "ds":
        dataset = client.dataset(thing)
        return f"dataset {dataset.name} ({dataset.id}), {dataset.state}" + (
            f", {dataset.count:,} images" if dataset.count else ""
        )
    checkpoint = client.checkpoint(thing)
    made = f", made by {checkpoint.job}" if checkpoint.job else ""
    return f"checkpoint {checkpoint.name} ({checkpoint.id}), {checkpoint.architecture or checkpoint.state}{made}"


def _unfinished(client: "Client", thing: str) -> str:
    from radii.service.schemas.responses import PartUpload

    begun = PartUpload.model_validate_json(client.http.send("GET", f"/v1/uploads/{thing}/parts").content)
    if begun.upload is not None:
        return f"parts of the complete upload {begun.name} ({begun.id}); the upload stays"
    there = begun.parts - len(begun.missing)
    return (
        f"unfinished upload {begun.name} ({begun.id}), {begun.size:,} bytes, {there:,} of {begun.parts:,} parts there"
    )


def _names(job: "Job", thing: str) -> bool:
    info = job.info
    return thing in (
        info.dataset,
        info.test_dataset,
        info.checkpoint,
        info.spec.get("start_from"),
        info.spec.get("job"),
    )
