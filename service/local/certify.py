"""Local certify and predict runs: the library's runners over model and data from files, results into files as they come."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radii.service.console import note, say
from radii.service.local.opened_run import OpenedRun, S, open_run, recorded
from radii.service.local.prediction_summary import predictions_table, predictions_tsv

if TYPE_CHECKING:
    from radii.rs_core.reports.corruptions import CorruptionGroups
    from radii.rs_core.specs.jobs import CertifySpec, PredictSpec

TUNING = Path(".cache") / "radii" / "tuning.json"
"""In the home folder: how networks run fastest on this machine."""


def certify(
    spec: "CertifySpec", out: Path, *, device: str, threads: int | None, hints: Mapping[str, str | None]
) -> None:
    """Certifies the chosen inputs that have no certificate in ``out`` yet, then prints the report."""
    from radii.rs_core.reports.certification_of_spec import summarize_asked
    from radii.rs_core.reports.certification_text import format_table
    from radii.rs_core.results.tsv import tsv_lines

    opened = _fastest(open_run(spec, out, device=device, threads=threads, hints=hints))
    from radii.rs_core.runs import certify  # with torch, which a wrong flag does not wait for

    run, data = opened.run, opened.run.data
    done = recorded(opened, out, tsv_lines, certify.records_of_all_turns)
    report = summarize_asked(
        done,
        run.spec,
        total=len(run.chosen),
        class_names=data.class_names,
        pixels=math.prod(data.shape),
        grouped=_grouped(opened),
    )
    _conclude(opened, out, format_table(report).rstrip())


def predict(
    spec: "PredictSpec", out: Path, *, device: str, threads: int | None, hints: Mapping[str, str | None]
) -> None:
    """Predicts the chosen inputs that have no prediction in ``out`` yet, then prints what they come to."""
    opened = _fastest(open_run(spec, out, device=device, threads=threads, hints=hints))
    from radii.rs_core.runs import predict

    done = recorded(opened, out, predictions_tsv, predict.records)
    _conclude(opened, out, predictions_table(done, len(opened.run.chosen), _grouped(opened)))


def _fastest(opened: OpenedRun[S]) -> OpenedRun[S]:
    """The run with the model run as was found on this machine before, or as is found now."""
    from radii.worker.settings import Settings

    run = opened.run
    if "compiled" not in opened.execution:
        found = run.find_configuration(
            Path.home() / TUNING, may_compile=Settings().compile == "auto", fixed=run.spec.batch_size
        )
        opened.execution.update(batch_size=found.batch_size, compiled=found.compiled)
        run.batch_size, run.compiled = found.batch_size, found.compiled
    opened.identity["shape"] = list(run.data.shape)
    return opened


def _grouped(opened: OpenedRun[Any]) -> "CorruptionGroups | None":
    """Which inputs have which corruption, where images are corrupted."""
    from radii.rs_core.reports.corruptions import CorruptionGroups

    corrupted = opened.run.data.corrupted
    return None if corrupted is None else CorruptionGroups(corrupted=corrupted, chosen=opened.run.chosen)


def _conclude(opened: OpenedRun[Any], out: Path, summary: str) -> None:
    """Prints the summary, which of the inputs the model was trained on, and where the results are."""
    from radii.rs_core.checkpoints.training_overlap import trained_on, training_note
    from radii.rs_core.specs.jobs import dump_spec

    say(summary)
    run = opened.run
    seen = trained_on(dump_spec(opened.info), opened.identity["dataset"], len(run.data), run.chosen)
    for sentence in training_note(seen, len(run.chosen)):
        note(sentence)
    opened.say_where(out)
