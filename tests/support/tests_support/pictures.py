"""Images as files, in memory."""

import io
import zipfile
from typing import Any

import numpy as np
from PIL import Image

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def png(pixels: Any, format: str = "PNG") -> bytes:
    """A PNG, or another format that Pillow writes, of pixels (H, W) or (H, W, 3) uint8."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(buffer, format)
    return buffer.getvalue()


def zipped(**files: bytes) -> bytes:
    """A zip, the same at any time, so that it may name a test; two underscores in a name are a slash."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", "/")), data)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    """A NumPy archive."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
