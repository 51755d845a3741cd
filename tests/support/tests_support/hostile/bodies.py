"""Bodies of requests for predictions."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator

from tests_support.hostile import archives, arrays, pictures
from tests_support.hostile.case import Canary, Case

BODIES: dict[str, Callable[[Canary], bytes]] = {
    "an image of 50,000 x 50,000 pixels": lambda c: pictures.PICTURES["says 50,000 x 50,000 pixels"](),
    "an image with a text of 200 MB": lambda c: pictures.PICTURES["has a text that unpacks to 200 MB"](),
    "a PostScript program": lambda c: pictures.PICTURES["is a PostScript program"](),
    "an archive of Python objects": lambda c: _objects(c),
    "a zip that leads out": lambda c: archives.LYING["leads out of its folder"](),
    "a zip of 10,000 images": lambda c: archives.zipped({f"{n}.png": pictures.png() for n in range(10_000)}),
    "a zip whose member unpacks to 1 GB": lambda c: archives.LYING[
        "has a member that unpacks to 1 GB and says 100 bytes"
    ](),
    "an npz packed a thousandfold": lambda c: _packed(),
    "JSON nested 100,000 deep": lambda c: b"[" * 100_000 + b"]" * 100_000,
    "JSON with a number of 100,000 digits": lambda c: b"[[[" + b"9" * 100_000 + b"]]]",
    "JSON with NaN": lambda c: b"[[[NaN]]]",
    "JSON with lists of other lengths": lambda c: json.dumps([[[0.0] * 8] * 7 + [[0.0]]]).encode(),
    "JSON with texts": lambda c: json.dumps([[["x"] * 8] * 8]).encode(),
    "JSON with pixels of 10^300": lambda c: json.dumps([[[1e300] * 8] * 8]).encode(),
    "JSON of a million empty lists": lambda c: b"[" + b",".join([b"[]"] * 1_000_000) + b"]",
    "no bytes": lambda c: b"",
    "a shell script": lambda c: f"#!/bin/sh\n{c.shell}\n".encode(),
}


def cases() -> Iterator[Case]:
    """Each body as one request."""
    for name, made in BODIES.items():
        yield Case(
            name=f"a request for predictions with {name}",
            door="predictions",
            files=lambda canary, made=made: {"body": made(canary)},
            harmless=(lambda answer: len(answer["predictions"]) == 1)
            if name == "an image with a text of 200 MB"
            else None,
            sampled=name in ("an image of 50,000 x 50,000 pixels", "JSON nested 100,000 deep"),
        )


def _objects(canary: Canary) -> bytes:
    return arrays.hidden_call(canary, "images")


def _packed() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", arrays.npy(arrays.described("'<f4'", "(100, 1, 8, 8)"), bytes(2**30)))
    return file.getvalue()
