"""Soft labels of a training set: for each input, how many of n votes of a base classifier fell on each class.

The preprocessing of CAT-RS (Jeong, Kim and Shin 2023, arXiv 2212.09000, section 4): a soft label is the vector of vote
frequencies. Most classes get no vote, so the votes are kept as sparse rows in a safetensors file. Needs no torch until
a batch is asked for. How the votes come about is in ``certify.voting``; which ones a training needs is told here.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radii.rs_core.errors import InvalidResults, Mismatch
from radii.rs_core.safetensors_header import metadata, read_header, writing
from radii.rs_core.specs.fields import USUAL_ALPHA
from radii.rs_core.specs.jobs import CatRs, Gaussian, SoftLabelSpec, TrainSpec

if TYPE_CHECKING:
    from torch import Tensor

KIND = "soft_labels"
VERSION = 1
ALPHA = USUAL_ALPHA
"""Noted with the votes of each input, whose test it belongs to; soft labels do not depend on it."""

TYPES = {"indices": "I64", "rows": "I64", "classes": "I32", "counts": "I32"}


@dataclass(frozen=True, kw_only=True, eq=False)
class SoftLabels:
    """Votes of N inputs. Row i holds ``counts`` (> 0) of ``classes`` (ascending) from ``rows[i]`` to ``rows[i + 1]``.

    ``indices`` (N,) int64 are the inputs' places in the data set, ascending; ``rows`` (N + 1,) int64; ``classes`` and
    ``counts`` (M,) int32. ``origin`` says where the votes come from.
    """

    indices: NDArray[np.int64]
    rows: NDArray[np.int64]
    classes: NDArray[np.int32]
    counts: NDArray[np.int32]
    num_classes: int
    n: int
    origin: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: "Sequence[int] | NDArray[np.int64] | Tensor") -> "Tensor":
        """Vote frequencies float32 (B, num_classes) of these inputs of the data set; each row sums to 1.

        Raises :class:`Mismatch` for an input that has no votes.
        """
        import torch

        wanted = np.asarray(indices, dtype=np.int64)
        places = self._places(wanted)
        first, lengths = self.rows[places], self.rows[places + 1] - self.rows[places]
        row = np.repeat(np.arange(len(wanted)), lengths)
        offset = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        entry = np.repeat(first, lengths) + offset
        frequencies = np.zeros((len(wanted), self.num_classes), dtype=np.float32)
        frequencies[row, self.classes[entry]] = self.counts[entry] / self.n
        return torch.from_numpy(frequencies)

    def require(self, indices: Iterable[int], num_classes: int) -> None:
        """Raises :class:`Mismatch` unless there are votes over so many classes for all these inputs."""
        if self.num_classes != num_classes:
            raise _mismatch(f"votes over {num_classes} classes", f"votes over {self.num_classes}")
        self._places(np.fromiter(indices, dtype=np.int64))

    def save(self, path: Path) -> None:
        """Writes the file; equal votes and origins give equal bytes."""
        from safetensors.numpy import save_file

        body = {"kind": KIND, "version": VERSION, "num_classes": self.num_classes, "n": self.n}
        with writing(path):
            save_file(
                {name: np.ascontiguousarray(getattr(self, name)) for name in TYPES},
                path,
                metadata=metadata(body | {"origin": dict(self.origin)}),
            )

    @classmethod
    def load(cls, path: Path) -> "SoftLabels":
        """The votes in a file; :class:`InvalidResults` where it holds something else."""
        from safetensors.numpy import load_file

        header = read_header(path, InvalidResults)
        body = header.ours() or {}
        if (body.get("kind"), body.get("version")) != (KIND, VERSION):
            wanted = f"soft labels stored by this software, version {VERSION}"
            raise InvalidResults(expected=wanted, got=f"kind {body.get('kind')!r}"[:200], where=path.name)
        if {name: entry.dtype for name, entry in header.tensors.items()} != TYPES:
            raise InvalidResults(expected=f"tensors {TYPES}", got=", ".join(header.tensors)[:200], where=path.name)
        known = {name: body.get(name) for name in ("num_classes", "n", "origin")}
        labels = cls(**load_file(path), **known)  # type: ignore[arg-type]
        labels._check(path.name)
        return labels

    def _places(self, wanted: NDArray[np.int64]) -> NDArray[np.intp]:
        """The rows of these inputs."""
        places = np.searchsorted(self.indices, wanted)
        found = places < len(self.indices)
        found[found] = self.indices[places[found]] == wanted[found]
        if not found.all():
            missing = wanted[~found]
            others = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
            raise _mismatch("votes for every training input", f"none for index {missing[0]}{others}")
        return places

    def _ascending(self) -> bool:
        """Whether the classes of each input ascend, so that none comes twice."""
        steps = np.diff(self.classes.astype(np.int64))
        begins = np.zeros(len(self.classes) + 1, dtype=bool)
        begins[self.rows] = True  # the step into the first class of an input may be any
        return bool((steps[~begins[1 : len(self.classes)]] > 0).all())

    def _check(self, where: str) -> None:
        """Raises :class:`InvalidResults` where the arrays contradict each other."""
        count, entries = len(self.indices), len(self.classes)
        sound = (
            type(self.num_classes) is int
            and self.num_classes >= 2
            and type(self.n) is int
            and self.n >= 1
            and isinstance(self.origin, Mapping)
            and self.indices.ndim == self.classes.ndim == 1
            and (count == 0 or int(self.indices.min()) >= 0)
            and bool((self.counts > 0).all())
            and self.rows.shape == (count + 1,)
            and self.counts.shape == self.classes.shape == (entries,)
            and (self.rows[0], self.rows[-1]) == (0, entries)
            and bool((np.diff(self.rows) > 0).all())
            and bool((np.diff(self.indices) > 0).all())
            and self._ascending()
            and (entries == 0 or (self.classes.min() >= 0 and self.classes.max() < self.num_classes))
            and bool((np.add.reduceat(self.counts.astype(np.int64), self.rows[:-1]) == self.n).all() if count else True)
        )
        if not sound:
            wanted = "sorted inputs whose votes add up to n over num_classes classes"
            raise InvalidResults(expected=wanted, got="arrays that contradict this", where=where)


def from_counts(
    indices: Iterable[int],
    counts: Iterable[Sequence[int]],
    num_classes: int,
    *,
    origin: Mapping[str, Any] | None = None,
) -> SoftLabels:
    """Soft labels out of class counts, one row of ``num_classes`` per index, in ascending order of the indices.

    Both may be streams: only what is kept of a row stays in memory. Raises :class:`InvalidResults` where a row has
    another length or sum than the others.
    """
    kept, rows = array("q"), array("q", [0])
    classes, votes = array("i"), array("i")
    n = 0
    for index, listed in zip(indices, counts, strict=True):
        row = np.asarray(listed, dtype=np.int64)
        total = int(row.sum())
        n = n or total
        if len(row) != num_classes or total != n or n == 0 or (kept and index <= kept[-1]):
            wanted = f"ascending inputs, each with {n or 'some'} votes over {num_classes} classes"
            raise InvalidResults(expected=wanted, got=f"{total} over {len(row)} at index {index}", where=KIND)
        voted = np.flatnonzero(row)
        classes.extend(voted.tolist())
        votes.extend(row[voted].tolist())
        kept.append(index)
        rows.append(len(classes))
    return SoftLabels(
        indices=np.array(kept, dtype=np.int64),
        rows=np.array(rows, dtype=np.int64),
        classes=np.array(classes, dtype=np.int32),
        counts=np.array(votes, dtype=np.int32),
        num_classes=num_classes,
        n=n,
        origin=dict(origin or {}),
    )


def voter_spec(spec: TrainSpec) -> TrainSpec:
    """The training of the classifier that votes for a CAT-RS training: the same settings under Gaussian noise.

    It is measured on no test data: these would change nothing of it, and others make no other classifier.
    """
    noise = _method(spec).soft_label_sigma
    return replace(spec, method=Gaussian(), sigma=noise, keep="last", certification=None, test_dataset=None)


def vote_spec(spec: TrainSpec, checkpoint: str) -> SoftLabelSpec:
    """The votes that a CAT-RS training needs, by the classifier of that name."""
    hp = _method(spec)
    augmented = hp.soft_label_view == "augmented"
    return SoftLabelSpec(
        checkpoint=checkpoint,
        dataset=spec.dataset,
        inputs=spec.inputs,
        sigma=hp.soft_label_sigma,
        n=hp.soft_label_n,
        augmentation=spec.augmentation if augmented else "none",
        crop_size=spec.crop_size if augmented else None,
        seed=spec.seed,
    )


def _method(spec: TrainSpec) -> CatRs:
    if not isinstance(spec.method, CatRs):
        raise _mismatch("the method cat_rs, which needs soft labels", spec.method.name)
    return spec.method


def _mismatch(expected: str, got: str) -> Mismatch:
    return Mismatch(expected=expected, got=got, where="method.soft_labels")
