"""A comparison as one self-contained HTML file: the figure inside, nothing fetched, readable on screen and on paper."""

import base64
from typing import Any

from rs_core import compare_text, plots
from rs_core.compare_plot import comparison_figure
from service import comparing
from service.comparing import Compared
from service.rendering import render


def page(found: Compared) -> str:
    """The whole file."""
    return render(
        "compare.html",
        found=found.results,
        sources=[comparing.source(one) for one in found.named],
        sides=compare_text.sides(found.results),
        text=compare_text,
        figure=figure(found),
    )


def figure(found: Compared) -> str:
    """The plot as a data URL."""
    return "data:image/svg+xml;base64," + base64.b64encode(plot(found, "svg")).decode()


def plot(found: Compared, form: Any) -> bytes:
    """The plot as a file; ``form`` is png or svg."""
    return plots.render(comparison_figure(found.runs, found.shared, found.asked.published), form)
