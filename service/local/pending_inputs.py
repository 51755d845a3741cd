"""The inputs of a local certify or predict run that have no result yet, and the engine over them, turn by turn where the
procedure goes in turns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from radii.service.console import note
from radii.service.local import results as files

if TYPE_CHECKING:
    from collections.abc import Collection

    from radii.rs_core.certify.engine import Input, Progress
    from radii.rs_core.certify.mixed_inputs import Standard
    from radii.rs_core.certify.sampler import Sampler
    from radii.rs_core.data.dataset import Dataset
    from radii.rs_core.records import Certificate, Prediction
    from radii.rs_core.specs.jobs import CertifySpec, PredictSpec

    Spec = CertifySpec | PredictSpec


@dataclass(kw_only=True)
class PendingInputs:
    """What is to be done and what of it is done, turn by turn where the procedure goes in turns."""

    spec: "Spec"
    sampler: "Sampler"
    data: "Dataset"
    chosen: range
    results: files.Results
    standard: "Standard | None" = None
    turn: int = 0

    def say_what_there_is(self) -> None:
        """One sentence, where a run goes on."""
        if have := len(self.results.done):
            note(f"Going on: {have:,} of {len(self.chosen):,} inputs have their result.")

    def records(self) -> "Iterator[Progress | Certificate | Prediction]":
        """The engine over what is left."""
        from radii.rs_core.certify import engine
        from radii.rs_core.certify.procedure import procedure_of

        if self.spec.kind == "predict":
            todo = self._inputs(self.results.indices)
            yield from engine.predict(
                self.sampler, todo, n=self.spec.n, alpha=self.spec.alpha, resume=self._unfinished()
            )
            return
        procedure = procedure_of(self.spec, inputs=len(self.chosen))
        while True:
            now = procedure.turn(self.turn)
            goal = procedure.n if now.upto is None else min(now.upto, procedure.n)
            enough = {record.index for record in self.results.done if now.upto is None or record.n >= goal}
            yield from engine.certify(
                self.sampler, self._inputs(enough), now, resume=self._unfinished(), standard=self.standard
            )
            if now.last:
                return
            self.turn += 1

    def share(self, record: "Progress | Certificate | Prediction") -> float:
        """Inputs that are done, the one that ``record`` tells of in part."""
        if getattr(self.spec, "sampling", "fixed") == "anytime":
            drawn: int = sum(done.n for done in self.results.done)
            return drawn / self.spec.n
        part = record.drawn / (self.spec.n + getattr(self.spec, "n0", 0)) if not hasattr(record, "prediction") else 0.0
        return len(self.results.done) + part

    def text(self) -> str:
        """How far the run is, in words."""
        count = f"{len(self.results.done):,} of {len(self.chosen):,} inputs"
        return f"{count}, turn {self.turn + 1}" if self.turn else count

    def _inputs(self, without: "Collection[int]") -> "Iterator[Input]":
        for index in self.chosen:
            if index not in without:
                yield index, self.data.image(index), int(self.data.labels[index])

    def _unfinished(self) -> "list[Progress]":
        """The votes that there are of inputs that are not finished."""
        from radii.rs_core.certify.engine import Progress
        from radii.rs_core.certify.sampler import Votes
        from radii.rs_core.records import Certificate

        found = {}
        for record in self.results.done:
            if not (isinstance(record, Certificate) and record.sampling == "anytime"):
                continue
            stages = enumerate((record.counts0, record.counts))
            votes = {stage: Votes(drawn=sum(counts), counts=tuple(counts)) for stage, counts in stages}
            found[record.index] = Progress(index=record.index, label=record.label, votes=votes, seconds=record.seconds)
        for body in self.results.unfinished():
            found[body["index"]] = Progress.of(body)
        return list(found.values())
