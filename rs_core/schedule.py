"""The learning rate of each epoch: one drop every so many epochs (He et al. 2015, arXiv 1512.03385, as the field has it).

In the public code behind Jeong et al. (arXiv 2006.04062, 2111.09277, 2212.09000) the drops reach training one epoch late;
their released logs show it. Numbers only.
"""

from rs_core.spec import TrainSpec


def learning_rate(spec: TrainSpec, epoch: int) -> float:
    """The rate of ``epoch`` (from 0): one drop every ``lr_step`` epochs, by default each one epoch late."""
    reached = max(epoch - 1, 0) if spec.lr_drop == "published" else epoch
    return float(spec.learning_rate * spec.lr_gamma ** (reached // spec.lr_step))


def first_drop(spec: TrainSpec) -> int:
    """The first epoch with a lower learning rate."""
    return spec.lr_step + (1 if spec.lr_drop == "published" else 0)
