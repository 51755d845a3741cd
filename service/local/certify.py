"""A local certify or predict run: the library's runner over model and data from files, results into files as they come."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radii.service.console import bar, note, say, stoppable
from radii.service.local import results as files
from radii.service.local.opened_run import OpenedRun, open_run, take_over
from radii.service.local.prediction_summary import predictions_table, predictions_tsv

if TYPE_CHECKING:
    from radii.rs_core.certify.engine import Progress
    from radii.rs_core.data.dataset import Dataset
    from radii.rs_core.records import Certificate, Prediction
    from radii.rs_core.runs.noise_run import NoiseRun
    from radii.rs_core.specs.jobs import CertifySpec, PredictSpec

    Spec = CertifySpec | PredictSpec

TUNING = Path(".cache") / "radii" / "tuning.json"
"""In the home folder: how networks run fastest on this machine."""


def run(spec: "Spec", out: Path, *, device: str, threads: int | None, hints: Mapping[str, str | None]) -> None:
    """Certifies or predicts the chosen inputs that have no result in ``out`` yet, then prints what they come to."""
    from radii.rs_core.results.tsv import tsv_lines

    opened = open_run(spec, out, device=device, threads=threads, hints=hints)
    if "compiled" not in opened.execution:
        _choose_configuration(opened)
    run = opened.run
    identity = opened.identity | {"shape": list(run.data.images.shape[1:])}
    lines = tsv_lines if spec.kind == "certify" else predictions_tsv
    with files.opened(out, identity, lines) as results:
        _measure(run, results)
        done = results.done
    say(_summary(run.spec, run.data, done, len(run.chosen)))
    _say_if_trained_on(opened)
    note(f"Results are in {out}, with all votes in {files.sidecar(out, '.ndjson')}.")


def _choose_configuration(opened: OpenedRun) -> None:
    """How to run the model: as was found on this machine before, or as is found now."""
    from radii.worker.settings import Settings

    found = opened.run.find_configuration(
        Path.home() / TUNING, may_compile=Settings().compile == "auto", fixed=opened.run.spec.batch_size
    )
    opened.execution.update(batch_size=found.batch_size, compiled=found.compiled)
    opened.run.batch_size, opened.run.compiled = found.batch_size, found.compiled


def _measure(run: "NoiseRun[Any]", results: files.Results) -> None:
    """The runner over what is left, every record stored before the next is asked for."""
    from radii.rs_core.certify.engine import Progress
    from radii.rs_core.runs import certify, predict
    from radii.rs_core.specs.jobs import CertifySpec

    take_over(run, results)
    certifies, turn = isinstance(run.spec, CertifySpec), 0
    with _stoppable(results, len(run.chosen)), bar(run.spec.kind) as progress:
        for record in certify.records_of_all_turns(run) if certifies else predict.records(run):
            if isinstance(record, certify.TurnBegins):
                turn = record.turn
                continue
            if not isinstance(record, Progress):
                results.add(record)
            elif record.votes:
                results.keep(record.body())
            progress.show(_share(run, results, record), len(run.chosen), _text(run, results, turn))


def _share(run: "NoiseRun[Any]", results: files.Results, record: "Progress | Certificate | Prediction") -> float:
    """Inputs that are done, the one that ``record`` tells of in part."""
    from radii.rs_core.certify.engine import Progress
    from radii.rs_core.specs.jobs import CertifySpec, PredictSpec

    spec = run.spec
    assert isinstance(spec, CertifySpec | PredictSpec)
    if isinstance(spec, CertifySpec) and spec.sampling == "anytime":
        drawn: int = sum(done.n for done in results.done)
        return drawn / spec.n
    wanted = spec.n + (spec.n0 if isinstance(spec, CertifySpec) else 0)
    return len(results.done) + (record.drawn / wanted if isinstance(record, Progress) else 0.0)


def _text(run: "NoiseRun[Any]", results: files.Results, turn: int) -> str:
    """How far the run is, in words."""
    count = f"{len(results.done):,} of {len(run.chosen):,} inputs"
    return f"{count}, turn {turn + 1}" if turn else count


def _stoppable(results: files.Results, total: int) -> AbstractContextManager[None]:
    """Nothing that was done is lost."""
    return stoppable(
        lambda: f"Stopped after {len(results.done):,} of {total:,} inputs; the same command goes on from there.",
        "The device's memory is full: give a smaller --batch-size and another --out.",
    )


def _say_if_trained_on(opened: OpenedRun) -> None:
    from radii.rs_core.checkpoints.training_overlap import trained_on, training_note
    from radii.rs_core.specs.jobs import dump_spec

    run = opened.run
    seen = trained_on(dump_spec(opened.info), opened.identity["dataset"], len(run.data), run.chosen)
    for sentence in training_note(seen, len(run.chosen)):
        note(sentence)


def _summary(spec: "Spec", data: "Dataset", done: "list[Any]", total: int) -> str:
    from radii.rs_core.reports.certification_of_spec import summarize_asked
    from radii.rs_core.reports.certification_text import format_table
    from radii.rs_core.reports.corruptions import CorruptionGroups
    from radii.rs_core.specs.jobs import CertifySpec

    chosen = spec.inputs.indices(len(data))
    grouped = None if data.corrupted is None else CorruptionGroups(corrupted=data.corrupted, chosen=chosen)
    if not isinstance(spec, CertifySpec):
        return predictions_table(done, total, grouped)
    pixels = math.prod(data.images.shape[1:])
    report = summarize_asked(done, spec, total=total, class_names=data.class_names, pixels=pixels, grouped=grouped)
    return format_table(report).rstrip()
