"""The converter: files from outside are opened in a process of its own, ``radii.worker.sandbox.converter``, which is confined.

That process has an empty environment (no credentials) and a time limit kept by its parent. It reads one request from its
standard input, imports what that needs, is confined (``radii.worker.isolation``) and only then opens the first file: it can read
these files and write one, which exists before. It answers with one line. ``weights_only`` loading and header checks happen
inside. The confinement limits the damage if they fail.
"""

import contextlib
import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from radii.rs_core.data.dataset_info import MAX_IMAGES, byte_limit
from radii.rs_core.errors import InvalidCheckpoint, InvalidDataset, RadiiError
from radii.rs_core.exception_text import cause_of
from radii.worker.isolation import descriptors, readable, status_report
from radii.worker.isolation.confine import Confinement, confine
from radii.worker.isolation.exchange import ProcessExchange, TooLong
from radii.worker.isolation.identity import NOBODY
from radii.worker.isolation.limits import Limits
from radii.worker.processes import launch
from radii.worker.processes.child_output import describe, written
from radii.worker.processes.parent_death import die_with_parent
from radii.worker.sandbox import converter_answer
from radii.worker.sandbox.conversions import checkpoint as _checkpoint
from radii.worker.sandbox.conversions import checkpoint_columns as checkpoint_columns
from radii.worker.sandbox.conversions import dataset as _dataset
from radii.worker.sandbox.conversions import paths

log = logging.getLogger("radii.converter")

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of the disk, not of the input. (``EFBIG`` is a limit of ours and is the input's fault.)"""
STEP = 1.0
HEADER_ROOM = 64 * 2**20
"""Bytes of an output's header, at most."""
LABEL_BYTES = 8
WIDER = 4
"""Times that weights can take more room in the output, as float32, than in a file of 8-bit numbers."""
FOR_ALL = 0o711
"""Permissions of a folder of links: the converter can be another user, and nobody else learns the names."""
LONGEST_NAME = 255
"""Bytes of a file's name."""


def convert(request: dict[str, Any], *, seconds: float, memory: int, uid: int = NOBODY) -> dict[str, Any]:
    """Runs one request and returns its answer.

    Args:
        request: ``what`` ("dataset" or "checkpoint"), ``files`` (name -> path), ``out``, and what the caller knows of them;
            ``max_dataset`` limits the bytes of all images, ``architectures`` is the file of registered ones.
        seconds: Time limit.
        memory: Bytes of address space.
        uid: User and group of the converter where this process is root's.

    Raises:
        NotConfined: The converter could not be confined.
        RadiiError: The converter's own error, or :class:`InvalidDataset` / :class:`InvalidCheckpoint` at a limit.
        OSError: There is no room for what it writes.
    """
    run = steps(request, seconds=seconds, memory=memory, uid=uid)
    return next(answer for answer in run if not isinstance(answer, int))


def steps(request: dict[str, Any], *, seconds: float, memory: int, uid: int = NOBODY) -> Iterator[dict[str, Any] | int]:
    """The same, yielding about once a second how many images are made, 0 where that is not counted, until the answer.
    Closing the iterator ends the converter."""
    folder = Path(tempfile.mkdtemp(prefix="radii-"))
    folder.chmod(FOR_ALL)
    try:
        files = _named(folder, request["files"])
        with _output(Path(request["out"]), _kind(request)):
            for answer in _run(request | {"files": files, "seconds": seconds, "memory": memory, "uid": uid}):
                if isinstance(answer, int):
                    yield answer
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    yield answer


def _run(request: dict[str, Any]) -> Iterator[dict[str, Any] | int]:
    kind = _kind(request)
    progress, reported = os.pipe()
    process = subprocess.Popen(
        launch.command("radii.worker.sandbox.converter"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(reported,),
        env=launch.bare_environment(),
    )
    os.close(reported)
    exchange = ProcessExchange(process, json.dumps(request | {"progress": reported}).encode(), progress)
    deadline = time.monotonic() + request["seconds"]
    try:
        while not exchange.ended(max(0.0, min(STEP, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                raise kind(**_too_slow(request, request["seconds"], exchange.count))
            yield exchange.count
    except TooLong:
        exchange.answer.clear()
    finally:
        process.kill()
        code = process.wait()
        exchange.close()
    try:
        status_report.check(exchange.report)
        yield converter_answer.read(bytes(exchange.answer), request["what"], request["out"])
    except RadiiError:
        if b"Traceback" in exchange.errors:  # of a reader that failed in a way that has no sentence of its own
            log.warning("a reader of files failed", extra=written(exchange.errors))
        raise
    except ValueError:
        log.warning("the converter %s", describe(code), extra=written(exchange.errors))
        got = _how(code, exchange.errors)
        raise kind(expected="a file that the converter can read within its limits", got=got) from None


def _kind(request: dict[str, Any]) -> type[RadiiError]:
    return InvalidDataset if request["what"] == "dataset" else InvalidCheckpoint


@contextlib.contextmanager
def _output(out: Path, kind: type[RadiiError]) -> Iterator[None]:
    """Makes the file that the converter writes; removes it where the block raises, and takes it back from the converter's
    user."""
    new = not out.exists()
    out.touch()
    made = out.stat()
    try:
        yield
        _take_back(out, made, kind)
    except BaseException:
        if new:
            out.unlink(missing_ok=True)
        raise


def _take_back(out: Path, made: os.stat_result, kind: type[RadiiError]) -> None:
    found = out.lstat()
    if (found.st_dev, found.st_ino) != (made.st_dev, made.st_ino):
        raise kind(expected="the file that the converter was given to write", got=f"another one at {out}")
    if found.st_uid != made.st_uid:
        os.chown(out, made.st_uid, made.st_gid, follow_symlinks=False)


def _named(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """Links to the files under the names that their owner gave them, so that messages speak of those; name -> link."""
    links = {}
    for number, (name, target) in enumerate(files.items()):
        link = folder / (_file_name(name) or "file")
        if link.is_symlink():
            link = folder / str(number) / link.name
            link.parent.mkdir()
            link.parent.chmod(FOR_ALL)
        link.symlink_to(Path(target).absolute())
        links[name] = str(link)
    return links


def _file_name(name: str) -> str:
    """The last part of a name, as much of its end as a file's name may have; empty where that is no name of a file."""
    last = Path(name.replace("\0", "?")).name.encode(errors="replace")[-LONGEST_NAME:].decode(errors="ignore")
    return "" if last in (".", "..") else last


def _too_slow(request: dict[str, Any], seconds: float, made: int) -> dict[str, str]:
    if request.get("corrupt"):
        expected = f"as many images as can be corrupted within {seconds:.0f} s (RADII_CONVERT_LIMIT)"
        return {"expected": expected, "got": f"more: {made:,} were made in that time"}
    return {"expected": f"a file that can be converted within {seconds:.0f} s", "got": "one that takes longer"}


def _how(code: int, errors: bytes) -> str:
    last = errors.decode(errors="replace").strip().splitlines()[-1:]
    if last and "MemoryError" in last[0]:
        return "one that needs more memory than it is given"
    if code == -signal.SIGXCPU:
        return "one that needs more processor time than it is given"
    return f"one that ended it (return code {code})" + (f": {last[0][:300]}" if last else "")


def main() -> None:
    """The sandboxed side."""
    die_with_parent()
    answers = _apart()
    request = json.load(sys.stdin)
    _import_for(request)
    wanted = _confinement(request)
    request |= _opened_before(request)
    with open(request["progress"], "wb", closefd=False) as report:
        status_report.confine_and_report(confine, wanted, report)
    try:
        answer = _dataset(request) if request["what"] == "dataset" else _checkpoint(request)
    except RadiiError as error:
        answer = {"problem": error.problem()}
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError from error
        answer = {"disk_full": error.errno} if error.errno in DISK_FULL else _not_understood(request, error)
    except MemoryError:
        raise
    except Exception as error:
        # A reader met bytes that its author did not think of: the file is at fault, not the worker.
        answer = _not_understood(request, error)
    with answers:
        json.dump(answer, answers)


def _not_understood(request: dict[str, Any], error: Exception) -> dict[str, Any]:
    """The problem of a file that made its reader fail in a way that has no sentence of its own; its traceback is for the
    log."""
    traceback.print_exception(error)
    got = f"one that it does not ({cause_of(error)})"
    return {"problem": _kind(request)(expected="a file that its reader understands", got=got).problem()}


def _apart() -> IO[str]:
    """The standard output for the answer alone: what anybody else prints goes to the standard error from now on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _import_for(request: dict[str, Any]) -> None:
    """Imports what looks at the machine when it is imported: processors, locales, locks."""
    if request["what"] == "checkpoint":
        import radii.rs_core.checkpoints.compose
        import radii.rs_core.checkpoints.torch_file

        _import_registered(request)
    elif request.get("corrupt"):
        import radii.rs_core.data.corruptions.convert
        from radii.rs_core.data.corruptions import transforms

        with contextlib.suppress(RadiiError):  # it is raised again where it belongs to an answer
            transforms._library()
    elif request.get("builtin"):
        import radii.rs_core.data.builtin
    else:
        import radii.rs_core.data.convert  # noqa: F401


def _import_registered(request: dict[str, Any]) -> None:
    """Imports the operator's modules, which may do anything when they are imported. What is wrong with them is said when a
    network of theirs is built."""
    from radii.rs_core.models import plugins, registry

    with contextlib.suppress(RadiiError):
        registry.use(request.get("architectures"))
        for row in registry.registered():
            with contextlib.suppress(Exception):
                plugins.function(row)


def _confinement(request: dict[str, Any]) -> Confinement:
    return Confinement(
        limits=Limits(memory=request["memory"], seconds=request["seconds"], output=_largest_output(request)),
        inputs=tuple(paths(request)),
        code=_registered_code(request.get("architectures")),
        outputs=(Path(request["out"]),),
        uid=request["uid"],
    )


def _largest_output(request: dict[str, Any]) -> int:
    """Bytes that the output can have: the images and labels of a dataset, or the weights of the given files as float32."""
    if request["what"] == "dataset":
        return int(byte_limit(request.get("max_dataset"))) + LABEL_BYTES * MAX_IMAGES + HEADER_ROOM
    return WIDER * sum(path.stat().st_size for path in paths(request)) + HEADER_ROOM


def _registered_code(file: str | None) -> tuple[Path, ...]:
    """The file of registered architectures and the modules in its folder."""
    return () if file is None else (Path(file), *readable.modules(Path(file).absolute().parent))


def _opened_before(request: dict[str, Any]) -> dict[str, Any]:
    """The paths in ``request`` by which this process can open its files when it is confined.

    Root's files are often closed to the user that this process changes to. With Landlock, it keeps the right to open them.
    Without Landlock it gets open descriptors instead.
    """
    if not descriptors.are_needed():
        return {}
    out = Path(request["out"])
    files = {name: descriptors.lend(Path(path), out.parent) for name, path in request["files"].items()}
    return {"files": {name: str(path) for name, path in files.items()}, "out": str(descriptors.lend_output(out))}


if __name__ == "__main__":
    main()
