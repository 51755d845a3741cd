"""From a model and what is asked of it to the classifier that is looked at: which network, under which noise."""

import torch

from radii.rs_core.certify.mixed_inputs import mix_of, voting
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.evaluate.common import EvaluationTarget
from radii.rs_core.evaluate.runner import is_noisy
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.specs.evaluations import Attack, EvaluationSettings
from radii.rs_core.specs.fields import Bound
from radii.rs_core.specs.jobs import EvaluateSpec


def bound_of(asked: EvaluationSettings) -> Bound:
    """``mixed`` where a mix is looked at as the one that is certified: its robust part alone under noise."""
    return "mixed" if isinstance(asked, Attack) and asked.target == "mix" else "one_sided"


def subject_of(
    model: BaseClassifier, spec: EvaluateSpec, num_classes: int, *, batch_size: int, sampler: Sampler | None = None
) -> EvaluationTarget:
    """The classifier that ``spec`` evaluates, on the model's device; ``sampler`` where there is one already.

    Raises :class:`Mismatch` for a specification of a mix and a model that is none.
    """
    bound = bound_of(spec.evaluation)
    network = voting(model, bound)
    if sampler is None and is_noisy(spec.evaluation) and spec.sigma is not None:
        sampler = Sampler(network, spec.sigma, num_classes, seed=spec.seed, batch_size=batch_size)
    return EvaluationTarget(
        model=network,
        sampler=sampler,
        seed=spec.seed,
        device=next(model.parameters(), torch.empty(0)).device,
        batch_size=batch_size,
        mix=mix_of(model) if bound == "mixed" else None,
    )
