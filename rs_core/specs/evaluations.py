"""What can be asked of a classifier beside its certificates, one record per evaluation; ``jobs.Evaluation`` is their union
by ``name``.

An evaluation looks at each input at a few points: radii of an attack, lengths of a search. Radii and steps are in
[0, 1]-pixel units: the public scripts divide theirs by 256 or 255, here it is not done.
"""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from radii.rs_core.specs.fields import (
    ASKED,
    MAX_SAMPLES,
    USUAL_ALPHA,
    Alpha,
    Copies,
    Epsilon,
    Flag,
    Reference,
    RobustWeight,
    record,
    refused,
)

STEPS_OF_A_LENGTH = 1e-6
"""How far a length may be from a whole number of steps, as a share of one."""

Votes = Annotated[
    int,
    Field(ge=1, le=MAX_SAMPLES, description="noise samples that vote at each point, drawn afresh"),
    Flag(ASKED, "Fresh noise samples that vote."),
]
AttackSteps = Annotated[
    int, Field(ge=1, le=10_000, description="steps of the attack (T)"), Flag(ASKED, "Steps of an attack.")
]
AT = Flag(
    ASKED,
    "Attack radii, or lengths of the search, l2, in [0, 1]-pixel units.",
    metavar="R,R,...",
    unset="0 to 1, or 0 to 5",
    option="at",
)
"""Attack radii and lengths of a search are one option: no evaluation has both."""
GOES_THROUGH = Flag(ASKED, "Noise samples that it goes through.")


class AnyEvaluation(ABC):
    """What can be asked of any evaluation; each says at which ``points`` it looks at an input, and what that costs."""

    noisy: ClassVar[bool] = True
    """Whether the classifier is asked under noise."""

    @property
    @abstractmethod
    def points(self) -> tuple[float, ...]:
        """Where it looks at each input."""

    @property
    @abstractmethod
    def passes(self) -> tuple[int, int]:
        """Passes of the network for one input, at most: forward alone, and forward and back to the input."""

    @property
    def together(self) -> int:
        """Inputs that are worked on in one batch."""
        return 1

    @property
    def vote_test(self) -> tuple[int, float] | None:
        """Noise samples and failure probability with which PREDICT answers at a point; None where it does not."""
        return None


@record
class Attack(AnyEvaluation):
    """Empirical robustness of a smoothed classifier, Salman et al. 2019, arXiv 1906.04584: SmoothAdv-PGD, or DDN, through
    m noise samples, then PREDICT on fresh noise at what it has found."""

    name: Literal["attack"] = "attack"
    algorithm: Annotated[
        Literal["pgd", "ddn"],
        Field(description="projected gradient descent, or decoupled direction and norm"),
        Flag(ASKED, "Of an attack: pgd or ddn."),
    ] = "pgd"
    epsilons: Annotated[
        tuple[Epsilon, ...],
        Field(min_length=1, max_length=64, description="attack radii, ascending, l2; 0 is the input itself"),
        AT,
    ] = (0.0, 0.25, 0.5, 0.75, 1.0)
    steps: AttackSteps = 20
    m: Annotated[
        Copies,
        Field(description="noise samples that the attack goes through; more attack better, up to 128"),
        GOES_THROUGH,
    ] = 64
    target: Annotated[
        Literal["smoothed", "base", "mix"],
        Field(
            description="what is attacked: the mean prediction under noise, or the base classifier without noise; mix: of a "
            "checkpoint that mixes a standard and a robust classifier, the standard one as it is and the robust one under noise, "
            "which is what bound = mixed certifies; what it answers is told by the same bounds"
        ),
    ] = "smoothed"
    robust_weight: Annotated[
        RobustWeight | None, Field(description="with target = mix: another weight than the checkpoint's; null: its own")
    ] = None
    ddn_gamma: Annotated[
        float | None,
        Field(
            gt=0,
            lt=1,
            description="by which DDN changes the norm in each step; null: 1 - (3 / 510 / epsilon)^(1 / steps), as published",
        ),
    ] = None
    n: Votes = 10_000
    alpha: Alpha = 0.001
    certificates: Annotated[
        Reference | None,
        Field(
            description="a certify job of the same model and data (of a run on this machine, a file of its results): PREDICT must not answer another "
            "class within a certified radius, and every time that it does is counted"
        ),
        Flag(
            ASKED,
            "Results of `radii certify` of the same model, data and sigma: every answer of another class within a certified radius is counted.",
            metavar="FILE",
            unset="none",
        ),
    ] = None

    @model_validator(mode="after")
    def _ascending(self) -> "Attack":
        _check_ascending("epsilons", self.epsilons)
        if self.target == "mix" and self.algorithm != "pgd":
            raise refused("algorithm", "pgd with target = mix", self.algorithm)
        if self.target != "mix" and self.robust_weight is not None:
            raise refused("robust_weight", "none, but with target = mix", f"{self.robust_weight:g} with {self.target}")
        return self

    @property
    def points(self) -> tuple[float, ...]:
        """The radii."""
        return self.epsilons

    @property
    def passes(self) -> tuple[int, int]:
        """Votes at each radius, and the steps of the attacks."""
        attacked = sum(epsilon > 0 for epsilon in self.epsilons)
        copies = 1 if self.target == "base" else self.m
        ways = 2 if self.target == "mix" else 1
        return self.n * len(self.epsilons), ways * attacked * self.steps * copies

    @property
    def vote_test(self) -> tuple[int, float] | None:
        """Its own; a mix answers by its bounds."""
        return None if self.target == "mix" else (self.n, self.alpha)


@record
class OverConfidence(AnyEvaluation):
    """Over-confidence off the class, the table of the SmoothMix slides (Jeong et al. 2021, arXiv 2111.09277): the ascent of
    the smoothed loss that no ball holds back, and how the noise votes along it, for the true class and for the strongest
    other one."""

    name: Literal["over_confidence"] = "over_confidence"
    lengths: Annotated[
        tuple[Epsilon, ...],
        Field(
            min_length=1,
            max_length=64,
            description="lengths of the search's path, ascending, l2; 0 is the input itself",
        ),
        AT,
    ] = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    step_size: Annotated[
        float,
        Field(gt=0, le=1e4, description="l2 length of each step of the search"),
        Flag(ASKED, "Length of each step of a search."),
    ] = 0.1
    m: Annotated[Copies, Field(description="noise samples that the search goes through"), GOES_THROUGH] = 16
    n: Votes = 1_000

    @model_validator(mode="after")
    def _whole_steps(self) -> "OverConfidence":
        _check_ascending("lengths", self.lengths)
        for length, steps in zip(self.lengths, self.steps, strict=True):
            if abs(length / self.step_size - steps) > STEPS_OF_A_LENGTH:
                raise refused("lengths", f"whole multiples of step_size = {self.step_size:g}", f"{length:g}")
        if self.steps[-1] > 10_000:
            raise refused("step_size", "at most 10,000 steps up to the last length", f"{self.steps[-1]:,}")
        return self

    @property
    def steps(self) -> tuple[int, ...]:
        """After how many steps of the search each length is reached."""
        return tuple(round(length / self.step_size) for length in self.lengths)

    @property
    def points(self) -> tuple[float, ...]:
        """The lengths."""
        return self.lengths

    @property
    def passes(self) -> tuple[int, int]:
        """Votes at each length, and the steps of the search."""
        return self.n * len(self.lengths), self.steps[-1] * self.m

    @property
    def alpha(self) -> float:
        """With which PREDICT answers."""
        return USUAL_ALPHA

    @property
    def vote_test(self) -> tuple[int, float]:
        """Of PREDICT at each length."""
        return self.n, self.alpha


@record
class AutoAttack(AnyEvaluation):
    """Empirical robustness of a classifier as it is, without noise: AutoAttack, Croce and Hein 2020, arXiv 2003.01690, by the
    authors' code. Gradients go through all of the model, through a mixing network, too."""

    noisy: ClassVar[bool] = False
    name: Literal["autoattack"] = "autoattack"
    norm: Annotated[
        Literal["linf", "l2"], Field(description="of the ball"), Flag(ASKED, "Of AutoAttack: linf or l2.")
    ] = "linf"
    epsilon: Annotated[
        float,
        Field(gt=0, le=1e4, description="radius, in [0, 1]-pixel units of the norm"),
        Flag(ASKED, "Radius of AutoAttack, in [0, 1]-pixel units of its norm.", unset="8/255"),
    ] = 8 / 255
    attacks: Annotated[
        tuple[Literal["apgd-ce", "apgd-t", "fab-t", "square"], ...],
        Field(
            min_length=1,
            max_length=4,
            description="in their order, each on the inputs that are still right; all: standard",
        ),
    ] = ("apgd-ce", "apgd-t", "fab-t", "square")
    iterations: Annotated[int, Field(ge=1, le=10_000, description="of APGD and FAB; 100: standard")] = 100
    queries: Annotated[int, Field(ge=1, le=1_000_000, description="of the Square attack; 5000: standard")] = 5_000
    adaptive: Annotated[
        bool,
        Field(
            description="with a mixing network: APGD also ascends the loss that makes the network trust the standard classifier, "
            "as in Bai et al. 2023, arXiv 2301.12554"
        ),
    ] = False
    adaptive_share: Annotated[float, Field(ge=0, le=1, description="of that loss, where adaptive")] = 0.5
    together: Annotated[int, Field(ge=1, le=10_000, description="inputs that are attacked in one batch")] = 50

    @model_validator(mode="after")
    def _once(self) -> "AutoAttack":
        if len(set(self.attacks)) < len(self.attacks):
            raise refused("attacks", "each attack once", ", ".join(self.attacks))
        return self

    @property
    def points(self) -> tuple[float, ...]:
        """The input itself, and the radius."""
        return (0.0, self.epsilon)

    @property
    def passes(self) -> tuple[int, int]:
        """Those of all its attacks, on an input that stays right."""
        steps = {"apgd-ce": 1, "apgd-t": TARGETS, "fab-t": TARGETS, "square": 0}
        back = sum(steps[attack] for attack in self.attacks) * self.iterations
        return 1 + (self.queries if "square" in self.attacks else 0), back


EvaluationSettings = Attack | OverConfidence | AutoAttack
FEWEST_CLASSES = 4
"""Of the targeted loss of AutoAttack, which compares the first, third and fourth of the sorted logits."""
TARGETS = 9
"""Classes that AutoAttack's targeted attacks try, the most likely ones first."""


def _check_ascending(where: str, values: tuple[float, ...]) -> None:
    if any(after <= before for before, after in pairwise(values)):
        raise refused(where, "values that grow", ", ".join(f"{value:g}" for value in values))
