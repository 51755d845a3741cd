"""The evaluations by name; a module is imported when it is first used. Needs no torch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from radii.rs_core.specs.evaluations import Attack, AutoAttack, OverConfidence

if TYPE_CHECKING:
    from radii.rs_core.evaluate.records import EvaluationRecord, Heartbeat


@dataclass(frozen=True, kw_only=True)
class RegisteredEvaluation:
    """One evaluation: what runs it as ``module:function``, the record of what is asked, what a point is, and what an input is
    that is right there; the title of its figure, and whether that shows votes instead of accuracy."""

    name: str
    function: str
    record: type[Any]
    point: str
    right: str
    reference: str
    title: str = "Accuracy under attack"
    plots_votes: bool = False

    @property
    def noisy(self) -> bool:
        """Whether the classifier is asked under noise."""
        return bool(self.record.noisy)


EVALUATIONS: dict[str, RegisteredEvaluation] = {
    row.name: row
    for row in (
        RegisteredEvaluation(
            name="attack",
            function="radii.rs_core.evaluate.attack:evaluate",
            record=Attack,
            point="attack radius",
            right="PREDICT answers the label",
            reference="Salman et al., Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers, "
            "2019, arXiv 1906.04584",
        ),
        RegisteredEvaluation(
            name="over_confidence",
            function="radii.rs_core.evaluate.over_confidence:evaluate",
            record=OverConfidence,
            point="length of the search",
            right="PREDICT answers the label",
            title="Votes along the search",
            plots_votes=True,
            reference="Jeong et al., SmoothMix: Training Confidence-calibrated Smoothed Classifiers for Certified "
            "Robustness, 2021, arXiv 2111.09277",
        ),
        RegisteredEvaluation(
            name="autoattack",
            function="radii.rs_core.evaluate.autoattack:evaluate",
            record=AutoAttack,
            point="attack radius",
            right="the classifier answers the label, without noise",
            reference="Croce and Hein, Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse "
            "Parameter-free Attacks, 2020, arXiv 2003.01690",
        ),
    )
}


def evaluation_function(name: str) -> "Callable[..., Iterator[Heartbeat | EvaluationRecord]]":
    """The evaluation's ``evaluate(subject, inputs, asked)``."""
    module, function = EVALUATIONS[name].function.split(":")
    return cast("Callable[..., Iterator[Heartbeat | EvaluationRecord]]", getattr(import_module(module), function))
