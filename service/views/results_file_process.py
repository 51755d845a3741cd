"""The process that reads one large results file: ``python -P -m radii.service.views.results_file_process``.

The request is JSON on the standard input, the answer a line of JSON and arrays on the standard output; see
``results_files``. The process is confined as the converter is (``radii.worker.isolation``) before the first byte of the file is
read: it can read this file and its own code, and write nothing but the answer.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from radii.rs_core.comparisons.alignment import Run
from radii.rs_core.errors import InvalidResults, RadiiError
from radii.service.views import results_files
from radii.worker.isolation.confine import Confinement, confine
from radii.worker.isolation.limits import Limits
from radii.worker.processes.parent_death import die_with_parent


def main() -> None:
    """Reads one file and answers."""
    die_with_parent()
    request: dict[str, Any] = json.load(sys.stdin)
    confine(_confinement(request))
    try:
        run = results_files.run_from(
            Path(request["path"]), run=request["run"], file=request["file"], rows=request["rows"]
        )
        pieces = _answer(run)
    except RadiiError as error:
        pieces = [json.dumps({"problem": error.problem()}).encode() + b"\n"]
    except MemoryError:
        expected = f"a file that can be read within {request['memory'] // 2**20:,} MiB of memory"
        refused = InvalidResults(expected=expected, got="one that needs more", where=request["file"])
        pieces = [json.dumps({"problem": refused.problem()}).encode() + b"\n"]
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    os._exit(0)  # freeing a million rows takes a while


def _answer(run: Run) -> list[bytes]:
    columns = [getattr(run.rows, name).astype(kind).tobytes() for name, kind in results_files.TYPES.items()]
    rest = {name: getattr(run, name) for name in ("total", "cap", "told", "settled", "unfinished")}
    head = {"rows": len(run.rows.index), "run": rest | {"facts": asdict(run.facts)}}
    return [json.dumps(head).encode() + b"\n", *columns]


def _confinement(request: dict[str, Any]) -> Confinement:
    return Confinement(
        limits=Limits(memory=request["memory"], seconds=request["seconds"], output=0),
        inputs=(Path(request["path"]),),
        uid=request["uid"],
    )


if __name__ == "__main__":
    main()
