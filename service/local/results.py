"""The files of a local certify or predict run, and going on with one that was stopped.

``NAME.tsv`` is for reading, ``NAME.ndjson`` holds every record with its votes and is what a later run goes on from,
``NAME.run.json`` says which run it is, ``NAME.progress.json`` holds the votes of the unfinished input. A line that was
cut is dropped and its input done again; keyed noise makes that the same work.
"""

import fcntl
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from radii.rs_core.results import ndjson as records
from radii.rs_core.results.codec import to_json
from radii.service.console import CommandError

if TYPE_CHECKING:
    from radii.rs_core.evaluate.records import EvaluationRecord
    from radii.rs_core.records import Certificate, Prediction

    Record = Certificate | Prediction | EvaluationRecord

Lines = Callable[[Iterable[Any]], Iterator[str]]
"""Header and rows of a TSV file, as ``radii.rs_core.results.tsv.tsv_lines`` gives them."""


class Results:
    """An open run: ``done`` are the records that it has, ``add`` appends one, or puts it in the place of an earlier one."""

    def __init__(self, tsv: Path, ndjson: TextIO, lines: Lines, done: "list[Record]") -> None:
        self._records = {record.index: record for record in done}
        self._progress: dict[int, Mapping[str, Any]] = {}
        self.progress_path = sidecar(tsv, ".progress.json")
        self._path, self._ndjson, self._lines = tsv, ndjson, lines
        self._stale = False
        _replace(tsv, "".join(lines(self.done)))
        self._tsv = tsv.open("a", encoding="utf-8")

    @property
    def done(self) -> list[Any]:
        """The last record of each input, in the order in which inputs got their first one."""
        return list(self._records.values())

    @property
    def indices(self) -> Collection[int]:
        """The inputs that have a record."""
        return self._records.keys()

    def add(self, record: "Record") -> None:
        """Appends a record to both files, so that it outlives this process."""
        again = record.index in self._records
        self._records[record.index] = record
        self._progress.pop(record.index, None)
        self._ndjson.write(json.dumps(to_json(record)) + "\n")
        self._ndjson.flush()
        if again:
            self._stale = True
            return
        _, row = self._lines([record])
        self._tsv.write(row)
        self._tsv.flush()

    def keep(self, progress: Mapping[str, Any]) -> None:
        """Stores the votes of an unfinished input."""
        self._progress[progress["index"]] = progress
        _replace(self.progress_path, json.dumps(list(self._progress.values())))

    def unfinished(self) -> list[dict[str, Any]]:
        """What :meth:`keep` stored last, if it is whole, of inputs that have no record of as many samples."""
        try:
            stored: list[dict[str, Any]] = json.loads(self.progress_path.read_text())
            return [body for body in stored if self._knows_more(body)]
        except (OSError, ValueError, LookupError, TypeError):
            return []

    def close(self) -> None:
        """Closes the files; where records took the place of earlier ones, these are left out from now on."""
        self._tsv.close()
        if self._stale:
            lines = (json.dumps(to_json(record)) + "\n" for record in self.done)
            _replace(Path(self._ndjson.name), "".join(lines))
            _replace(self._path, "".join(self._lines(self.done)))

    def _knows_more(self, body: Mapping[str, Any]) -> bool:
        record = self._records.get(body["index"])
        drawn = sum(part["drawn"] for part in body["votes"].values())
        return record is None or drawn > getattr(record, "n0", 0) + getattr(record, "n", 0)


@contextmanager
def opened(tsv: Path, run: Mapping[str, Any], lines: Lines) -> Iterator[Results]:
    """The files of ``run``, new or continued; raises :class:`CommandError` where they are those of another run.

    ``run`` has ``spec``, ``execution`` and the hashes ``checkpoint`` and ``dataset``, which tell runs apart, and what
    else a reader should find.
    """
    if tsv.suffix != ".tsv":
        raise CommandError(f"--out must end in .tsv, got {str(tsv)!r}: the evidence is written beside it.")
    tsv.parent.mkdir(parents=True, exist_ok=True)
    with sidecar(tsv, ".ndjson").open("a+", encoding="utf-8") as ndjson:
        _hold(ndjson, tsv)
        known = read_run(tsv)
        if known is None:
            _check_unused(tsv, ndjson)
            _replace(sidecar(tsv, ".run.json"), json.dumps(run, indent=2) + "\n")
        else:
            check_same(tsv, known, run)
        results = Results(tsv, ndjson, lines, _whole_records(Path(ndjson.name)))
        try:
            yield results
        except BaseException:
            if known is None and not results.indices and not results.progress_path.exists():
                for path in (tsv, Path(ndjson.name), sidecar(tsv, ".run.json")):
                    path.unlink(missing_ok=True)  # nothing was found: it is not in the way of another try
            raise
        finally:
            results.close()
        results.progress_path.unlink(missing_ok=True)


def read_run(results: Path) -> dict[str, Any] | None:
    """What stands beside a results file about its run; ``None`` where nothing does."""
    path = sidecar(results, ".run.json")
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise CommandError(f"The file {path} cannot be read: {error}.") from None
    if not isinstance(body, dict):
        raise CommandError(f"The file {path} cannot be read: expected an object, got {type(body).__name__}.")
    return body


def ran_as(results: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """How the run that wrote a results file ran, and on which machine, as far as a file beside it says: that of a local
    run, or the ``report.json`` of a service's job."""
    run = read_run(results)
    if run is not None:
        return run.get("execution") or {}, run.get("provenance")
    try:
        report = json.loads((results.parent / "report.json").read_text(encoding="utf-8"))
        workers = report["provenance"].get("workers", [])
        return report["execution"], workers[0] if len(workers) == 1 else None
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return {}, None


def check_same(tsv: Path, known: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Refuses to go on with the files of another run, and says what differs."""
    there, now = _identity(known), _identity(run)
    other = [name for name in {**there, **now} if there.get(name) != now.get(name)]
    if other:
        differences = ", ".join(f"{name} {there.get(name)!r} there and {now.get(name)!r} now" for name in other[:5])
        raise CommandError(
            f"The file {tsv} holds the results of another run ({differences}): choose another --out, or remove "
            f"{tsv.stem}.* to begin anew."
        )


def sidecar(results: Path, ending: str) -> Path:
    """``results.tsv`` -> ``results.ndjson`` and its like."""
    return results.with_suffix(ending)


def _identity(run: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal, flat. Paths are not among it: files are told by their content."""
    files = {"checkpoint": run.get("checkpoint"), "dataset": run.get("dataset")}
    return {**(run.get("spec") or {}), **(run.get("execution") or {}), **files}


def _hold(file: TextIO, tsv: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise CommandError(f"The file {tsv} is being written by another radii.") from None


def _check_unused(tsv: Path, ndjson: TextIO) -> None:
    if tsv.exists() or os.fstat(ndjson.fileno()).st_size:
        raise CommandError(
            f"The file {tsv} exists, and nothing beside it says which run it is: choose another --out, or remove it."
        )


def _whole_records(ndjson: Path) -> "list[Record]":
    """The records of the file, which is cut behind its last whole line."""
    with ndjson.open("rb+") as file:
        whole = file.read().rfind(b"\n") + 1
        file.truncate(whole)
    return list(records.read_ndjson(ndjson)) if whole else []


def _replace(path: Path, text: str) -> None:
    """Writes a file that is whole at every moment."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
