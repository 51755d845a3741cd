"""What a specification leaves open: the noise level, the weight in a mix, and which inputs are chosen. Needs no torch."""

from collections.abc import Mapping
from typing import Any, TypeVar

from radii.rs_core.errors import InvalidSpec
from radii.rs_core.specs.composition import mixed_weight
from radii.rs_core.specs.fields import Selection
from radii.rs_core.specs.jobs import NoiseJob

S = TypeVar("S", bound=NoiseJob)


def resolved_sigma(spec: NoiseJob, trained_with: float | None) -> float | None:
    """The noise level: that of the specification, else the one that the checkpoint was trained with.

    None for an evaluation without noise. Raises :class:`InvalidSpec` where neither says one.
    """
    if not spec.noisy:
        return None
    sigma = spec.sigma if spec.sigma is not None else trained_with
    if sigma is None:
        expected = "a noise level, since the checkpoint does not say with which one it was trained"
        raise InvalidSpec(expected=expected, got="none", where="sigma")
    return sigma


def resolved_weight(spec: NoiseJob, composition: Mapping[str, Any] | None, checkpoint: str) -> float | None:
    """The weight of the robust classifier in a mix that is certified as one: the job's own, else the checkpoint's; else None.

    ``composition`` is the checkpoint's, as JSON, and ``checkpoint`` its name in errors.
    """
    if spec.bound != "mixed":
        return None
    return mixed_weight(spec.robust_weight, composition, checkpoint)


def resolve(spec: S, trained_with: float | None, composition: Mapping[str, Any] | None, checkpoint: str) -> S:
    """The specification with its noise level and weight."""
    return spec.resolved(resolved_sigma(spec, trained_with), resolved_weight(spec, composition, checkpoint))


def chosen_inputs(inputs: Selection, count: int, dataset: str, where: str = "inputs") -> range:
    """The chosen indices of a dataset of ``count`` images; raises :class:`InvalidSpec` where there are none."""
    chosen = inputs.indices(count)
    if not chosen:
        expected = f"at least one input of {dataset}, which has {count:,}"
        raise InvalidSpec(expected=expected, got=f"none from index {inputs.start} on", where=where)
    return chosen
