"""``ask``: what a service's model says of some images, at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radii.service.cli import options as o
from radii.service.cli.connection import DEFAULT_SERVER, ApiKey, AsJson, Server, connect
from radii.service.console import CommandError, note, say, table, warn

if TYPE_CHECKING:
    from radii.service.schemas.predictions import Predictions

DECIMALS = 4


def ask(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            exists=True,
            dir_okay=False,
            help="PNG or JPEG files; or one zip of them, or one .npz with an array of images.",
        ),
    ],
    checkpoint: Annotated[str, typer.Option(metavar="ID", help="Checkpoint of the service. (required)")],
    sigma: o.Sigma = None,
    n: Annotated[int | None, typer.Option("--n", help="Noise samples for each image. (default: 10000)")] = None,
    alpha: o.Alpha = None,
    seed: Annotated[
        int | None, typer.Option(help="Names the noise: equal seeds, equal counts. (default: drawn at random)")
    ] = None,
    resize: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Resize files to this shorter side. (default: as they are)")
    ] = None,
    center_crop: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Then cut the square of this side. (default: all)")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Print what is certified after so long. (default: when all is drawn)"),
    ] = None,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Print class, certified radius and number of noise samples of each image: one line each, in their order."""
    with connect(server, api_key) as client:
        found = client.predict_images(
            images[0] if len(images) == 1 else images,
            checkpoint=checkpoint,
            timeout=timeout,
            sigma=sigma,
            n=n,
            alpha=alpha,
            seed=seed,
            resize=resize,
            center_crop=center_crop,
        )
    say(found.model_dump_json(indent=2) if as_json else _lines(found, images))
    warn(found.warnings)
    if found.problem is not None:
        raise CommandError(found.problem.detail)
    if not found.complete:
        note(f"Not complete yet: `radii status {found.job}` shows how far it is.")


def _lines(found: "Predictions", images: list[Path]) -> str:
    from radii.rs_core.results.tsv import rounded_down

    names = [image.name for image in images] if len(images) == found.images else []
    rows = [
        [
            names[row.index] if names else str(row.index),
            "abstains" if row.abstained else row.class_name or str(row.prediction),
            rounded_down(row.radius, DECIMALS),
            f"{row.n:,}",
        ]
        for row in found.predictions
    ]
    return table(["image", "class", "radius", "samples"], rows)
