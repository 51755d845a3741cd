"""The process that reads one large results file: ``python -P -m service.results_process``.

The request is JSON on the standard input, the answer a line of JSON and arrays on the standard output; see
``results_files``. Memory, processor time and files are limited before the first byte of the file is read.
"""

import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rs_core.aligned import Run
from rs_core.errors import InvalidResults, RadiiError
from service import results_files


def main() -> None:
    """Reads one file and answers."""
    request: dict[str, Any] = json.load(sys.stdin)
    _limit(request["memory"], request["seconds"])
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
    rest = {name: getattr(run, name) for name in ("name", "total", "cap", "told", "settled", "unfinished", "data")}
    head = {"rows": len(run.rows.index), "facts": asdict(run.facts), "run": rest}
    return [json.dumps(head).encode() + b"\n", *columns]


def _limit(memory: int, seconds: int) -> None:
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    main()
