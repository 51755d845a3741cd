"""The figure of a comparison: curves over the shared inputs, of one run over all of its own."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from tests_support.runs import run, uniform

from radii.rs_core.comparisons.alignment import align
from radii.rs_core.literature.published_results import published
from radii.rs_core.plots.comparison import comparison_figure


def drawn(figure: Figure, line: int) -> list[float]:
    return [float(share) for share in np.asarray(figure.axes[0].lines[line].get_ydata())]


def test_curves_are_over_the_shared_inputs() -> None:
    runs = [run("a", [0.5, 0.5, None, 0.1]), run("b", [0.25, 0.25], start=2)]
    figure = comparison_figure(runs, align(runs))
    assert drawn(figure, 0)[0] == 0.5 and drawn(figure, 1)[0] == 1.0
    assert figure.axes[0].get_title(loc="left") == "Certified accuracy, 2 shared inputs"


def test_one_run_is_drawn_over_all_its_inputs_with_its_interval() -> None:
    one = run("a", [0.5, 0.5], total=8)
    figure = comparison_figure([one], align([one]), [published("cifar10/cat_rs/0.25")])
    assert drawn(figure, 0)[0] == 0.25
    assert drawn(figure, 1) == pytest.approx([0.763, 0.681, 0.588, 0.482])
    assert len(figure.axes[0].collections) == 1


def test_runs_of_different_procedures_say_so_in_the_legend() -> None:
    runs = [uniform("a", 1), uniform("b", 2, sampling="at_radii", radii=(0.5,))]
    legend = comparison_figure(runs, align(runs)).axes[0].get_legend()
    assert legend is not None
    assert "(stopped early at requested radii, ACR (lower bound" in legend.get_texts()[1].get_text()
