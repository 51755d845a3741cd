"""What is known of an architecture without building it: one row of the registry."""

from dataclasses import dataclass
from typing import Literal

Shape = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One row: ``input_shape`` is (C, H, W), ``None`` where the sides are free; ``channels`` is ``None`` where they are,
    too; ``head`` names the last layer.

    Free sides are multiples of ``side_multiple`` from ``smallest_side`` on, both the same where ``square``. ``features``
    names two modules whose outputs (B, c, h, w) a mixing network reads, ``None`` where there are no such maps. ``folder``
    is where a registered builder's module may be. ``unread`` are prefixes of tensors that public files of this layout may
    hold beside those that the network reads.
    """

    name: str
    builder: str
    input_shape: Shape | None
    channels: int | None
    head: str
    description: str
    reference: str
    source: Literal["ours", "torchvision", "registered"] = "ours"
    role: Literal["classifier", "denoiser"] = "classifier"
    features: tuple[str, str] | None = None
    unread: tuple[str, ...] = ()
    smallest_side: int = 1
    side_multiple: int = 1
    square: bool = False
    folder: str = ""
