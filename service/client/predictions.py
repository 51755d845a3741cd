"""Images to a service and their predictions back, for the Python client."""

import io
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from radii.service.client.http import HttpConnection
from radii.service.client.job import TERMINAL
from radii.service.schemas.predictions import Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

Images = Union[Path, str, bytes, "Sequence[Path | str]", "NDArray[Any]"]
Refined = Callable[[Predictions], object]

BINARY = "application/octet-stream"
STEP = 1.0
"""Seconds of one wait, where somebody wants to see how predictions are refined."""
LONGEST = 30.0
"""The same where nobody does."""


def images_of(images: Images) -> bytes:
    """A request's body: a file (its path), a file's bytes, several PNG or JPEG files in their order, or an array of
    (N, C, H, W), uint8 or floats in [0, 1]."""
    if isinstance(images, bytes):
        return images
    if isinstance(images, Path | str):
        return Path(images).read_bytes()
    if hasattr(images, "__array_interface__"):
        import numpy as np

        buffer = io.BytesIO()
        np.savez(buffer, images=np.asarray(images))
        return buffer.getvalue()
    return _zipped([Path(image) for image in images])


def _zipped(files: Sequence[Path]) -> bytes:
    """The files under numbers and their names, since a service takes those of a zip in the order of their names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, file in enumerate(files):
            archive.writestr(f"{number:06d}-{file.name}", file.read_bytes())
    return buffer.getvalue()


def asked(
    http: HttpConnection, images: Images, query: Mapping[str, Any], timeout: float | None, refined: Refined | None
) -> Predictions:
    """What is known when all is known, or after ``timeout`` seconds."""
    body, deadline = images_of(images), None if timeout is None else time.monotonic() + timeout
    step = STEP if refined else LONGEST
    left = step if timeout is None else min(step, timeout)
    answer = http.send(
        "POST",
        "/v1/predictions",
        content=lambda: nullcontext(body),
        params={**query, "wait": left},
        headers={"Content-Type": BINARY},
        patience=left,
    )
    found = Predictions.model_validate_json(answer.content)
    while found.state not in TERMINAL:
        if refined:
            refined(found)
        left = step if deadline is None else min(step, deadline - time.monotonic())
        if left <= 0:
            break
        begun = time.monotonic()
        path = f"/v1/predictions/{found.job}"
        found = Predictions.model_validate_json(http.send("GET", path, params={"wait": left}, patience=left).content)
        if found.state not in TERMINAL and time.monotonic() - begun < left / 2:
            time.sleep(left / 2)  # a service that does not wait is not asked again at once
    return found
