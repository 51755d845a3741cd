"""The figure of a comparison: a curve for each run on the shared inputs, and published results as points."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from radii.rs_core.comparisons.alignment import AlignedRuns, Run, photographs_of
from radii.rs_core.literature.published_results import Published
from radii.rs_core.plots.certification import PlotInput, certified_accuracy
from radii.rs_core.results.aggregate import Columns, radii_up_to
from radii.rs_core.results.row_statistics import statistics_of_columns


def comparison_figure(runs: Sequence[Run], shared: AlignedRuns, published: Sequence[Published] = ()) -> Figure:
    """Certified accuracy of each run over the radius; of one run alone on all its inputs, with its pointwise interval."""
    if len(runs) == 1:
        (run,) = runs
        title = f"Certified accuracy, {run.total:,} inputs"
        return certified_accuracy(
            {run.name: _drawn(run, run.rows)}, totals={run.name: run.total}, title=title, published=published
        )
    curves = {run.name: _drawn(run, rows) for run, rows in zip(runs, shared.rows, strict=True)}
    return certified_accuracy(curves, title=f"Certified accuracy, {shared.inputs:,} shared inputs", published=published)


def _drawn(run: Run, rows: Columns) -> PlotInput:
    photographs = photographs_of(run, [run])
    if photographs is None:
        return PlotInput(statistics=statistics_of_columns(rows, (), (), cap=None), how=run.facts.how)
    radii = radii_up_to(float(rows.radius.max(initial=0.0)))
    statistics = statistics_of_columns(rows, (), radii, cap=None, starts=photographs.starts)
    return PlotInput(statistics=statistics, how=run.facts.how, photographs=photographs)
