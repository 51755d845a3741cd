"""The machine that a child runs on: which device, how many threads, and what of it belongs into a job's provenance."""

import os
import platform
import shutil
import subprocess
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from radii.rs_core.errors import InvalidSpec
from radii.version import installed_version

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "safetensors")
"""What is in the provenance with its version, after radii itself."""


def resolve_device(wanted: str, *, worker_number: int = 0) -> torch.device:
    """``auto`` is a CUDA device where there is one, the machine's workers taking them in turn, else the CPU; raises
    :class:`InvalidSpec`."""
    if wanted == "auto":
        cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return torch.device(f"cuda:{worker_number % cards}" if cards else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise InvalidSpec(expected="auto, cpu, cuda or cuda:N", got=repr(wanted), where="device") from None
    if device.type not in ("cpu", "cuda"):
        raise InvalidSpec(expected="auto, cpu, cuda or cuda:N", got=repr(wanted), where="device")
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise InvalidSpec(expected=f"one of {count} CUDA devices", got=wanted, where="device")
    return device


def share_memory(device: torch.device, *, workers: int, share: float | None, in_turn: bool = True) -> float | None:
    """Keeps this process to its part of a GPU's memory, so that one worker does not take what another one needs: ``share``
    of it, else what is left to each where so many workers take the machine's GPUs ``in_turn``, or all take this one. Beyond
    it memory has run out, and batches are halved. Returns the part; None where there is nothing to share."""
    if device.type != "cuda":
        return None
    on_this_one = -(-workers // torch.cuda.device_count()) if in_turn else workers
    part = share if share is not None else 1 / max(1, on_this_one)
    if part >= 1:
        return None
    torch.cuda.set_per_process_memory_fraction(part, device)
    return part


def configure(execution: dict[str, Any]) -> None:
    """Sets what is fixed for a job: the number of threads, and no reduced precision behind its back."""
    torch.set_num_threads(int(execution.get("threads", 1)))
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def provenance(device: torch.device) -> dict[str, Any]:
    """What counts depend on beside the job and how it is run: versions, the C++ compiler's too, and device model."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    packages = {"radii": installed_version()} | {package: version(package) for package in PACKAGES}
    return {
        "versions": packages | {"python": platform.python_version(), "compiler": compiler()},
        "device": name,
        "device_type": device.type,
    }


class MemoryGauge:
    """How much memory this process has, now and then."""

    def __init__(self, device: torch.device, interval: float = 10.0) -> None:
        self._device, self._interval = device, interval
        self._last = float("-inf")

    def due(self) -> dict[str, int] | None:
        """Bytes by kind, if the last answer is ``interval`` seconds old: ``resident`` in the machine's memory and, on a GPU,
        ``device`` reserved there by this process, of ``device_total``."""
        if time.monotonic() - self._last < self._interval:
            return None
        self._last = time.monotonic()
        pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
        taken = {"resident": pages * os.sysconf("SC_PAGE_SIZE")}
        if self._device.type == "cuda":
            taken["device"] = torch.cuda.memory_reserved(self._device)
            taken["device_total"] = torch.cuda.mem_get_info(self._device)[1]
        return taken


@cache
def compiler() -> str | None:
    """The compiler that torch writes networks with on a CPU, and its version; None where there is none, and networks run
    as they are."""
    path = shutil.which(os.environ.get("CXX", "g++"))
    if path is None:
        return None
    try:
        answer = subprocess.run([path, "-dumpfullversion"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{Path(path).name} {answer.stdout.strip()}"


def cpu_name() -> str:
    """The processor's model, where the system tells."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else platform.processor() or 'CPU'} ({torch.backends.cpu.get_cpu_capability()})"
