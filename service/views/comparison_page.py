"""A comparison as one self-contained HTML file: the figure inside, nothing fetched, readable on screen and on paper."""

import base64
from typing import Any

from radii.rs_core.comparisons import text
from radii.rs_core.plots import certification
from radii.rs_core.plots.comparison import comparison_figure
from radii.service.views import comparison
from radii.service.views.comparison import ComparisonView
from radii.service.views.rendering import render


def page(found: ComparisonView) -> str:
    """The whole file."""
    return render(
        "compare.html",
        found=found.results,
        sources=[comparison.source(one) for one in found.named],
        sides=text.sides(found.results),
        text=text,
        figure=figure(found),
    )


def figure(found: ComparisonView) -> str:
    """The plot as a data URL."""
    return "data:image/svg+xml;base64," + base64.b64encode(plot(found, "svg")).decode()


def plot(found: ComparisonView, form: Any) -> bytes:
    """The plot as a file; ``form`` is png or svg."""
    return certification.render(comparison_figure(found.runs, found.shared, found.asked.published), form)
