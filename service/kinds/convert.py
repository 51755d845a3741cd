"""Conversions. Nobody submits one: requests for datasets and checkpoints make them."""

from radii.service.kinds.kind import Kind
from radii.worker.kinds.convert import CONVERT as WORKER
from radii.worker.store.specifications import ConvertSpec, CorruptedDataset


class Convert(Kind[ConvertSpec]):
    """See ``ConvertSpec``."""

    worker = WORKER
    unit = work_unit = "conversions"

    def work_unit_of(self, spec: ConvertSpec) -> str:
        """Images that are corrupted are counted."""
        return "images" if isinstance(spec.source, CorruptedDataset) else self.work_unit


CONVERT = Convert()
