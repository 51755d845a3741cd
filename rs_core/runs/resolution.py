"""What a specification leaves open: the noise level, the weight in a mix, and which inputs are chosen. Needs no torch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from radii.rs_core.errors import InvalidSpec
from radii.rs_core.evaluate.registry import EVALUATIONS
from radii.rs_core.specs.composition import mixed_weight
from radii.rs_core.specs.fields import Selection
from radii.rs_core.specs.jobs import CertifySpec, EvaluateSpec, PredictSpec, SoftLabelSpec

NoiseSpec: TypeAlias = CertifySpec | PredictSpec | SoftLabelSpec | EvaluateSpec
"""Specifications of jobs that look at each chosen input with a model."""
S = TypeVar("S", bound=NoiseSpec)


def as_noise_spec(spec: object) -> NoiseSpec:
    """The specification, of a job that is known to be of such a kind."""
    if not isinstance(spec, CertifySpec | PredictSpec | SoftLabelSpec | EvaluateSpec):
        raise TypeError(f"expected the specification of a job on chosen inputs, got a {type(spec).__name__}")
    return spec


def resolved_sigma(spec: NoiseSpec, trained_with: float | None) -> float | None:
    """The noise level: that of the specification, else the one that the checkpoint was trained with.

    None for an evaluation without noise. Raises :class:`InvalidSpec` where neither says one.
    """
    if isinstance(spec, EvaluateSpec) and not EVALUATIONS[spec.evaluation.name].noisy:
        return None
    sigma = spec.sigma if spec.sigma is not None else trained_with
    if sigma is None:
        expected = "a noise level, since the checkpoint does not say with which one it was trained"
        raise InvalidSpec(expected=expected, got="none", where="sigma")
    return sigma


def resolved_weight(spec: NoiseSpec, composition: Mapping[str, Any] | None, checkpoint: str) -> float | None:
    """The weight of the robust classifier in a mix that is certified as one: the job's own, else the checkpoint's; else None.

    ``composition`` is the checkpoint's, as JSON, and ``checkpoint`` its name in errors.
    """
    if not isinstance(spec, CertifySpec) or spec.bound != "mixed":
        return None
    return mixed_weight(spec.robust_weight, composition, checkpoint)


def resolve(spec: S, trained_with: float | None, composition: Mapping[str, Any] | None, checkpoint: str) -> S:
    """The specification with its noise level and weight."""
    sigma = resolved_sigma(spec, trained_with)
    if isinstance(spec, CertifySpec):
        return replace(spec, sigma=sigma, robust_weight=resolved_weight(spec, composition, checkpoint))
    return replace(spec, sigma=sigma)


def chosen_inputs(inputs: Selection, count: int, dataset: str, where: str = "inputs") -> range:
    """The chosen indices of a dataset of ``count`` images; raises :class:`InvalidSpec` where there are none."""
    chosen = inputs.indices(count)
    if not chosen:
        expected = f"at least one input of {dataset}, which has {count:,}"
        raise InvalidSpec(expected=expected, got=f"none from index {inputs.start} on", where=where)
    return chosen
