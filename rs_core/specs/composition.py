"""What a model that is made of models is: the records of its kinds, kept in the metadata of its checkpoint. Needs no torch.

``ensemble`` is the mean of its parts' logits. ``denoised`` is a denoiser before a classifier: Salman et al., "Denoised
Smoothing: A Provable Defense for Pretrained Classifiers", 2020, arXiv 2003.01908. ``mixed`` mixes the probabilities of a
standard and a robust classifier: Bai et al., "Improving the Accuracy-Robustness Trade-Off of Classifiers via Adaptive
Smoothing", 2023, arXiv 2301.12554. Parts come in the order of :data:`PARTS`. What follows from parts, and
which fit together, is in ``checkpoints.composite_info``; the networks are in ``models``.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from radii.rs_core.errors import InvalidSpec, Mismatch
from radii.rs_core.specs.fields import record, refused

MOST_PARTS = 64
A_MIX = "a mix of a standard and a robust classifier, composed or trained before"
PARTS = {"ensemble": (), "denoised": ("denoiser", "classifier"), "mixed": ("standard", "robust")}
"""What the parts of a kind are, in their order; of an ensemble, all are alike."""
COMPOSITE = re.compile(rf"({'|'.join(PARTS)})(\(.*)?", re.DOTALL)

RobustWeight = Annotated[
    float,
    Field(ge=0, le=1, description="share of the robust classifier's probabilities (alpha of the paper); 1: it alone"),
]
Scale = Annotated[float, Field(gt=0, le=1e4, description="its logits are multiplied by this before the softmax")]
Channels = Annotated[int, Field(ge=1, le=65_536)]
Module = Annotated[str, Field(min_length=1, max_length=200)]


@record
class Ensemble:
    """Mean of the logits of two or more classifiers."""

    kind: Literal["ensemble"] = "ensemble"


@record
class Denoised:
    """A classifier that is shown what a denoiser makes of the noisy image."""

    kind: Literal["denoised"] = "denoised"


@record
class Mixing:
    """The network that gives each input a weight of its own: what it reads of each part, and how its output is scaled.

    ``features``: names of two modules of each part; ``channels``: of their outputs; ``widths``: of the three stages.
    """

    features: tuple[tuple[Module, Module], tuple[Module, Module]]
    channels: tuple[tuple[Channels, Channels], tuple[Channels, Channels]]
    widths: tuple[Channels, Channels, Channels]
    gamma_scale: Annotated[float, Field(description="gamma is multiplied by this after its normalisation")] = 1.0
    gamma_bias: Annotated[float, Field(description="and this is added to it")] = 0.0
    weight_scale: Annotated[float, Field(ge=0, le=1, description="in evaluation, the weight is multiplied by this")] = (
        1.0
    )
    weight_bias: Annotated[float, Field(ge=0, le=1, description="and this is added to it: its smallest value")] = 0.0

    @model_validator(mode="after")
    def _within_one(self) -> "Mixing":
        if self.weight_scale + self.weight_bias > 1 + 1e-9:
            got = f"{self.weight_scale:g} + {self.weight_bias:g}"
            raise refused("weight_bias", "weight_scale + weight_bias of at most 1, the largest weight", got)
        return self


@record
class Scales:
    """What every mix has beside its weight."""

    standard_scale: Scale = 1.0
    robust_scale: Scale = 1.0
    standard_size: Annotated[
        int | None,
        Field(ge=1, le=4096, description="side in pixels to which images are resized for the standard classifier"),
    ] = None


@record
class Mixed(Scales):
    """``log[(1 - w) softmax(standard_scale g(x)) + w softmax(robust_scale h(x))]`` of a standard classifier g and a robust
    one h; the weight w is ``robust_weight``, or what the mixing network gives."""

    kind: Literal["mixed"] = "mixed"
    robust_weight: RobustWeight | None = None
    mixing: Mixing | None = None

    @model_validator(mode="after")
    def _one_weight(self) -> "Mixed":
        if (self.robust_weight is None) == (self.mixing is None):
            got = "neither" if self.mixing is None else "both"
            raise refused("robust_weight", "exactly one of robust_weight and a mixing network", got)
        return self


Composition = Annotated[Ensemble | Denoised | Mixed, Field(discriminator="kind")]


def mixed_weight(
    asked: float | None,
    composition: Mapping[str, Any] | None,
    who: str,
    for_: str = "bound = mixed",
    where: str = "bound",
) -> float:
    """The weight with which a job looks at a mix: the one asked for, else that of the composition (JSON). Raises
    :class:`Mismatch` where that is no mix, :class:`InvalidSpec` where its weight is not constant: for a mixing network's there
    is no certificate. ``for_`` and ``where`` are what asks for a mix."""
    found = composition or {}
    if found.get("kind") != "mixed":
        wanted = f"a checkpoint that mixes a standard and a robust classifier, for {for_}"
        raise Mismatch(expected=wanted, got=f"{who}, which does not", where=where)
    weight = asked if asked is not None else found.get("robust_weight")
    if weight is None:
        wanted = (
            "a constant weight, since the checkpoint's come from a mixing network, for which there is no certificate"
        )
        raise InvalidSpec(expected=wanted, got="none", where="robust_weight")
    return float(weight)


def singles(info: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The records (JSON) of the single networks that a model is made of, in order: its own where it is one."""
    parts = info.get("parts") or ()
    if not parts:
        yield info
    for part in parts:
        yield from singles(part)


def networks_in(architecture: str | None, info: Mapping[str, Any] | None) -> list[str]:
    """The architectures of the single networks that a model is made of, by its own and its record (JSON)."""
    if not info or not info.get("parts"):
        return [architecture or ""]
    return [str(part.get("architecture") or "") for part in singles(info)]


def is_composite(architecture: str | None) -> bool:
    """Whether a name is that of a composite, such as ``ensemble(2 x lenet)``, or of a kind of composites."""
    return COMPOSITE.fullmatch(architecture or "") is not None
