"""A job that looks at each chosen input with a model: what it runs on, how, and what it has found already."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic

import torch

from radii.rs_core.certify.autotune import RunConfiguration, configuration_for
from radii.rs_core.certify.engine import Input, Progress, Stop
from radii.rs_core.certify.inference_model import InferenceModel
from radii.rs_core.certify.mixed_inputs import Standard, standard_of, voting
from radii.rs_core.certify.procedure import USUAL_SAVING
from radii.rs_core.certify.sampler import Sampler
from radii.rs_core.data.dataset import Dataset
from radii.rs_core.models.base_classifier import BaseClassifier
from radii.rs_core.runs.resolution import S
from radii.rs_core.specs.fields import Bound
from radii.rs_core.specs.jobs import DEFAULT_BATCH

Prepare = Callable[[Bound, bool, int], InferenceModel]
"""From bound, whether to compile, and batch size to the network as it is run."""


@dataclass(kw_only=True)
class NoiseRun(Generic[S]):
    """What a run is made of.

    Attributes:
        spec: The specification, with its noise level (see ``resolution``).
        model: On its device.
        num_classes: Logits of the model.
        data: The dataset.
        chosen: Indices of all inputs of the job.
        part: Those that this run works on; all of them by default.
        batch_size: Noise samples per forward pass, at most.
        compiled: Whether the network is compiled.
        forced: A smaller number of images at once, where memory did not suffice before.
        done: Inputs that have a record, with the noise samples for estimation that it counts.
        unfinished: The votes of inputs that were begun.
        alone: Whether one input is worked on at a time.
        stop: Asked before each batch; where it is true the run ends, and no vote is lost.
        prepare: Gives the network as it is run, where somebody keeps it.
    """

    spec: S
    model: BaseClassifier
    num_classes: int
    data: Dataset
    chosen: range
    part: range | None = None
    batch_size: int | None = None
    compiled: bool = False
    forced: int | None = None
    done: Mapping[int, float] = field(default_factory=dict)
    unfinished: Sequence[Progress] = ()
    alone: bool = False
    stop: Stop = bool
    prepare: Prepare | None = None

    def inputs(self, without: Collection[int] | None = None) -> Iterator[Input]:
        """Index, image and label of the inputs that have no record yet, or that are not among ``without``."""
        skipped = self.done if without is None else without
        for index in self.chosen if self.part is None else self.part:
            if index not in skipped:
                yield index, self.data.image(index), int(self.data.labels[index])

    def sampler(self, bound: Bound | None = None) -> Sampler:
        """The model under the job's noise; of a mix that is certified as one, its robust part."""
        spec, bound = self.spec, bound or self.spec.bound
        assert spec.sigma is not None
        batch_size = self.batch_size or DEFAULT_BATCH
        compiled = self.compiled and self.forced is None  # a compiled network is made for batches of one size
        sampler = Sampler(
            voting(self.model, bound),
            spec.sigma,
            self.num_classes,
            seed=spec.seed,
            batch_size=batch_size,
            compiled=compiled,
            precision=spec.precision,
            noise=spec.noise,
            prepared=None if self.prepare is None else self.prepare(bound, compiled, batch_size),
        )
        sampler.forced = self.forced
        return sampler

    def standard(self) -> Standard | None:
        """Of a mix that is certified as one, what its standard classifier says of an image; else None."""
        return standard_of(self.model, self.spec.bound)

    def find_configuration(self, file: Path | None, *, may_compile: bool, fixed: int | None = None) -> RunConfiguration:
        """The fastest way to run the network here, by measurement or as ``file`` remembers it; ``fixed`` is a batch size."""
        spec = self.spec
        device = next(self.model.parameters(), torch.empty(0)).device
        return configuration_for(
            voting(self.model, spec.bound),
            self._shape_shown().to(device),
            self.num_classes,
            name=self.model.architecture,
            precision=spec.precision,
            samples=round(len(self.chosen) * spec.n / USUAL_SAVING[spec.sampling]),
            batch_size=fixed,
            may_compile=may_compile,
            file=file,
        )

    def _shape_shown(self) -> torch.Tensor:
        """An image of the size that the model is shown."""
        image = self.data.image(self.chosen[0])
        side = self.spec.crop_size
        return image if side is None else torch.zeros(image.shape[0], side, side)
