"""Published results by name, ``dataset/method/sigma``: ``published("cifar10/cat_rs/0.25").acr``.

What papers, posters, slides and released logs report of randomized smoothing: facts to lay a report beside, with what is
disputed about them. The figures are tables in ``result_tables``, one file per data set; names are those of ``presets``
where both have the same training. Unless a note says otherwise they were certified with n0 = 100, n = 100,000 and
alpha = 0.001 (Cohen et al. 2019, arXiv 1902.02918).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from radii.rs_core.errors import UnknownPublication
from radii.rs_core.literature import entry_names
from radii.rs_core.literature.result_tables.cifar10 import CIFAR10
from radii.rs_core.literature.result_tables.cifar10c import CIFAR10C
from radii.rs_core.literature.result_tables.cifar100 import CIFAR100
from radii.rs_core.literature.result_tables.imagenet import IMAGENET
from radii.rs_core.literature.result_tables.mnist import FMNIST, MNIST
from radii.rs_core.literature.result_tables.row import OF_THE_TABLE, ResultRow, ResultTable

TABLES: tuple[ResultTable, ...] = (MNIST, FMNIST, CIFAR10, CIFAR10C, CIFAR100, IMAGENET)
ANY_SIGMA = "any"
"""In a name: the best of several noise levels at each radius."""


@dataclass(frozen=True, kw_only=True)
class PublishedShare:
    """Certified accuracy at one radius, in per cent as it was printed."""

    radius: float
    percent: float


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published result: ``acr`` and radii in [0, 1]-pixel l2 units, ``inputs`` that were certified.

    ``sigma`` is None where the figures are the best of several noise levels, ``acr`` and ``inputs`` where they were not
    reported. ``note`` says what is disputed, truncated, garbled or of another run.
    """

    name: str
    dataset: str
    architecture: str
    method: str
    sigma: float | None
    inputs: int | None
    acr: float | None
    certified_accuracy: tuple[PublishedShare, ...]
    source: str
    note: str | None

    def percent_at(self, radius: float) -> float | None:
        """Certified accuracy at a radius, in per cent; None where it was not reported."""
        return next((share.percent for share in self.certified_accuracy if share.radius == radius), None)


def names() -> tuple[str, ...]:
    """Every result's name, in the tables' order."""
    return tuple(_results())


def published(name: str) -> Published:
    """The result of that name; :class:`UnknownPublication` says which there are."""
    found = _results().get(name)
    if found is None:
        got = repr(name if len(name) <= 100 else name[:97] + "...")
        raise UnknownPublication(expected=entry_names.choice(name, names()), got=got, where="published")
    return found


def beginning(name: str | None) -> tuple[Published, ...]:
    """The results whose names begin so, by whole parts (``cifar10``, ``cifar10/cat_rs``), the one of that name, or all;
    :class:`UnknownPublication` where there are none."""
    chosen = [known for known in names() if name is None or f"{known}/".startswith(f"{name.rstrip('/')}/")]
    return tuple(published(known) for known in chosen or [name or ""])


def nearest(name: str) -> tuple[str, ...]:
    """Up to five names that look like this one, the most similar first."""
    return entry_names.nearest(name, names())


@cache
def _results() -> dict[str, Published]:
    return {one.name: one for table in TABLES for row in table.rows for one in _of(table, row)}


def _of(table: ResultTable, row: ResultRow) -> Iterator[Published]:
    """The results of one row, one per noise level."""
    for sigma, found in row.figures.items():
        radii = (row.first + place * table.step for place in range(len(found.percents)))
        yield Published(
            name=f"{table.dataset}/{row.name}/{ANY_SIGMA if sigma is None else sigma}",
            dataset=table.title,
            architecture=table.architecture,
            method=row.title,
            sigma=sigma,
            inputs=table.inputs if row.inputs == OF_THE_TABLE else row.inputs,
            acr=found.acr,
            certified_accuracy=tuple(
                PublishedShare(radius=radius, percent=float(percent))
                for radius, percent in zip(radii, found.percents, strict=True)
            ),
            source=row.source,
            note=found.note,
        )
