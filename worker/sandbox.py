"""The converter's walls: strangers' files are opened in a process of its own, ``python -m worker.sandbox``.

That process has an empty environment (no credentials), no network where the system lets it give that up, limits on
memory, processor time, file size and open files, and a time limit kept by its parent. It reads one request from its
standard input, writes one file and answers with one line. ``weights_only`` loading and header checks happen inside;
these walls are for the day when they do not suffice.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rs_core.checkpoint_info import CheckpointInfo, Hints, dump_info
from rs_core.errors import InvalidCheckpoint, InvalidDataset, RadiiError
from worker.orphans import die_with_parent
from worker.walls import MAX_OUTPUT, wall_in

if TYPE_CHECKING:
    from rs_core.data.conversion import Converted

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""What says nothing of the files: a file that is too large does, as that is one of the walls."""
STEP = 1.0


def convert(request: dict[str, Any], *, seconds: float, memory: int) -> dict[str, Any]:
    """Runs one request and returns its answer.

    ``request``: ``what`` ("dataset" or "checkpoint"), ``files`` (name -> path), ``out``, and what the caller knows of
    them; ``max_dataset`` limits the bytes of all images, ``architectures`` is the file of registered ones. Raises the
    converter's own error, :class:`InvalidDataset` / :class:`InvalidCheckpoint` where it ran into a wall, and
    :class:`OSError` where there is no room for what it writes.
    """
    return next(answer for answer in steps(request, seconds=seconds, memory=memory) if not isinstance(answer, int))


def steps(request: dict[str, Any], *, seconds: float, memory: int) -> Iterator[dict[str, Any] | int]:
    """The same, yielding about once a second how many images are made, 0 where that is not counted, until the answer;
    whoever closes the iterator ends the converter."""
    kind = InvalidDataset if request["what"] == "dataset" else InvalidCheckpoint
    folder = Path(tempfile.mkdtemp(prefix="radii-"))
    names, told = folder / "names", folder / "told"
    names.mkdir()
    more = {"seconds": seconds, "memory": memory, "names": str(names), "told": str(told)}
    body: bytes | None = json.dumps(request | more).encode()
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.sandbox"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.defpath, "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                said, errors = process.communicate(body, timeout=max(0.0, min(STEP, deadline - time.monotonic())))
                break
            except subprocess.TimeoutExpired:
                body = None  # it has been sent
            if time.monotonic() >= deadline:
                raise kind(**_too_slow(request, seconds, _told(told))) from None
            yield _told(told)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError:
        got = _how(process.returncode, errors)
        raise kind(expected="a file that the converter can read within its limits", got=got) from None
    if "problem" in answer:
        raise RadiiError.from_problem(answer["problem"])
    if "disk_full" in answer:
        raise OSError(answer["disk_full"], os.strerror(answer["disk_full"]), request["out"])
    yield answer


def _too_slow(request: dict[str, Any], seconds: float, made: int) -> dict[str, str]:
    if request.get("corrupt"):
        expected = f"as many images as can be corrupted within {seconds:.0f} s (RADII_CONVERT_LIMIT)"
        return {"expected": expected, "got": f"more: {made:,} were made in that time"}
    return {"expected": f"a file that can be converted within {seconds:.0f} s", "got": "one that takes longer"}


def _told(path: Path) -> int:
    """How many images the converter says that it has made."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _how(code: int, errors: bytes) -> str:
    last = errors.decode(errors="replace").strip().splitlines()[-1:]
    if last and "MemoryError" in last[0]:
        return "one that needs more memory than it is given"
    return f"one that ended it (return code {code})" + (f": {last[0][:300]}" if last else "")


def main() -> None:
    """The sandboxed side."""
    die_with_parent()
    answers = _apart()
    request = json.load(sys.stdin)
    wall_in(request["memory"], request["seconds"], max(MAX_OUTPUT, 2 * request.get("max_dataset", 0)))
    try:
        answer = _dataset(request) if request["what"] == "dataset" else _checkpoint(request)
    except RadiiError as error:
        answer = {"problem": error.problem()}
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        answer = {"disk_full": error.errno}
    with answers:
        json.dump(answer, answers)


def _apart() -> IO[str]:
    """The standard output for the answer alone: what anybody else prints goes to the standard error from now on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _dataset(request: dict[str, Any]) -> dict[str, Any]:
    from rs_core.data import canonical, conversion
    from rs_core.data.builtin import BUILTIN
    from rs_core.data.photos import Framing

    out = Path(request["out"])
    if request.get("corrupt"):
        return _corrupted(request, out)
    if request.get("builtin"):
        data = BUILTIN[request["builtin"]]()
        canonical.save(data, out)
        made = conversion.Converted(
            content_hash=canonical.content_hash(data), count=len(data), shape=data.shape, class_names=data.class_names
        )
        return _dataset_columns(out, made)
    paths = _named(request)
    made = conversion.convert(
        paths,
        out,
        format=request.get("format"),
        class_names=request.get("class_names"),
        framing=Framing(resize=request.get("resize"), center_crop=request.get("center_crop")),
        limit=request.get("max_dataset"),
    )
    return _dataset_columns(out, made)


def _corrupted(request: dict[str, Any], out: Path) -> dict[str, Any]:
    """A data set of corrupted images, out of one that is stored already."""
    from rs_core import corrupt_spec
    from rs_core.data import canonical
    from rs_core.data.corrupting import write_corrupted

    (path,), told = _named(request), Path(request["told"])
    last = time.monotonic()

    def tell(done: int, _: int) -> None:
        nonlocal last
        if time.monotonic() - last >= STEP / 2:
            last = time.monotonic()
            told.write_text(str(done))

    made = write_corrupted(
        canonical.open_dataset(path),
        corrupt_spec.parse(request["corrupt"]),
        out,
        clean_hash=request.get("clean_hash"),
        limit=request.get("max_dataset"),
        told=tell,
    )
    return _dataset_columns(out, made)


def _dataset_columns(out: Path, made: "Converted") -> dict[str, Any]:
    """A data set's row, as far as it follows from what was made; ``source`` is what is known of corrupted images, and
    which entries of its archive were skipped."""
    from rs_core.data import canonical
    from rs_core.data.corrupted import to_json

    columns = {
        "content_hash": made.content_hash,
        "count": made.count,
        "shape": list(made.shape),
        "num_classes": len(made.class_names),
        "class_names": list(made.class_names),
        "eight_bit": canonical.on_8_bit_grid(out),
    }
    corrupted = {} if made.corrupted is None else {"corrupted": to_json(made.corrupted)}
    skipped = {} if made.skipped is None else {"skipped": made.skipped.to_json()}
    source = corrupted | skipped
    return {"columns": columns} | ({"source": source} if source else {})


def _checkpoint(request: dict[str, Any]) -> dict[str, Any]:
    from pydantic import TypeAdapter, ValidationError

    from rs_core.models import table
    from rs_core.spec import invalid_spec

    table.use(request.get("architectures"))
    if request.get("compose"):
        return {"columns": checkpoint_columns(_composed(request))}
    from rs_core.research import convert as convert_file

    given = {name: request[name] for name in Hints.__dataclass_fields__ if request.get(name) is not None}
    try:
        hints = TypeAdapter(Hints).validate_python(given)
    except ValidationError as error:
        raise invalid_spec(error, placed=True) from None
    paths = _named(request)
    if len(paths) != 1:
        raise InvalidCheckpoint(expected="one file", got=f"{len(paths)} files")
    info = convert_file(paths[0], hints, Path(request["out"]))
    return {"columns": checkpoint_columns(info)}


def _composed(request: dict[str, Any]) -> CheckpointInfo:
    from pydantic import TypeAdapter

    from rs_core.compose import compose
    from rs_core.composition import Composition

    composition: Composition = TypeAdapter(Composition).validate_python(request["compose"])
    return compose(composition, _named(request), Path(request["out"]))


def checkpoint_columns(info: CheckpointInfo) -> dict[str, Any]:
    """A checkpoint's row, as far as it follows from what the checkpoint says of itself."""
    return {
        "architecture": info.architecture,
        "num_classes": info.num_classes or None,
        "input_shape": list(info.input_shape),
        "sigma": info.sigma,
        "method": info.method,
        "info": dump_info(info),
    }


def _named(request: dict[str, Any]) -> list[Path]:
    """Links to the files under the names that their owner gave them, so that messages speak of those. Their folder is the
    parent's, which removes it however this process ends."""
    paths = []
    for name, target in request["files"].items():
        link = Path(request["names"]) / (Path(name).name or "file")
        link.symlink_to(Path(target).absolute())
        paths.append(link)
    return paths


if __name__ == "__main__":
    main()
