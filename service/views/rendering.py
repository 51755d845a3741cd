"""Pages out of templates: everything inside one file, nothing fetched from elsewhere, and a policy that holds it so; and the
policy of figures.
"""

import base64
import hashlib
import math
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from radii.rs_core.reports.procedure_text import SAMPLINGS
from radii.rs_core.results.tsv import rounded_down
from radii.service.kinds.registry import KINDS

TEMPLATES = Path(__file__).parent / "templates"
STYLE = (TEMPLATES / "radii.css").read_text()
SCRIPT = (TEMPLATES / "radii.js").read_text()

_SCRIPT_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
PAGE_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{_SCRIPT_HASH}'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Vary": "Authorization",
}
FIGURE_TYPES = {"png": "image/png", "svg": "image/svg+xml"}
FIGURE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
"""Of a figure that is opened by itself: an SVG is a document, and may only style itself."""


def render(template: str, **values: Any) -> str:
    """The template with its values, all of them escaped."""
    return _ENVIRONMENT.get_template(template).render(**values)


def percent(share: float | None) -> str:
    """A share with two decimals."""
    return "–" if share is None else f"{100 * share:.2f} %"


def done(fraction: float) -> str:
    """How much of a job's work is done, rounded down: only what is done altogether is 100 %."""
    return f"{rounded_down(100 * fraction, 2)} %"


def share(value: float) -> str:
    """A mean share with two decimals; of nothing, a dash."""
    return percent(None if math.isnan(value) else value)


def number(value: float) -> str:
    """A length with four decimals; of nothing, a dash."""
    return "–" if math.isnan(value) else f"{value:.4f}"


def down(value: float, decimals: int = 4) -> str:
    """Rounded down, so that no figure claims more than was certified."""
    return rounded_down(value, decimals)


def up(value: float, decimals: int = 4) -> str:
    """Rounded up, for the upper end of an interval."""
    return rounded_down(-value, decimals).removeprefix("-") if value > 0 else rounded_down(0.0, decimals)


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds, the two largest parts."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def moment(time: datetime | None) -> str:
    """A time to the second, in UTC."""
    return "–" if time is None else f"{time:%Y-%m-%d %H:%M:%S} UTC"


def amount(value: float | None) -> str:
    """A number with thousands divided, short where it is large."""
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.filters |= {
    "percent": percent,
    "share": share,
    "done": done,
    "number": number,
    "down": down,
    "up": up,
    "duration": duration,
    "moment": moment,
    "amount": amount,
    "procedure": SAMPLINGS.__getitem__,
}
_ENVIRONMENT.globals |= {"kinds": KINDS, "style": Markup(STYLE), "script": Markup(SCRIPT)}
