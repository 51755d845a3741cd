"""Certified robustness of image classifiers by randomized smoothing.

This is the public API; every other module is internal and may change. On a model and data of your own (``radii[torch]``)::

    import radii

    certificates = radii.certify(model, dataset, sigma=0.25)
    print(radii.format_table(radii.summarize(certificates)))

On a service::

    with radii.Client("http://server:8000") as client:
        job = client.certify(checkpoint=checkpoint, dataset=dataset)
        certificates = list(job.wait().certificates())

Names are imported when they are first used, so ``import radii`` loads neither torch nor the libraries of the service. A name whose
packages are not installed raises ``ImportError``, which names the extra to install; ``from radii import *`` leaves it out.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from radii.library.certification import certify as certify
    from radii.library.checkpoints import load_checkpoint as load_checkpoint
    from radii.library.checkpoints import save_checkpoint as save_checkpoint
    from radii.library.datasets import load_dataset as load_dataset
    from radii.library.training import TrainingResult as TrainingResult
    from radii.library.training import train as train
    from radii.rs_core.certify.smoothed_classifier import SmoothedClassifier as SmoothedClassifier
    from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo as CheckpointInfo
    from radii.rs_core.comparisons.compare import compare as compare
    from radii.rs_core.comparisons.runs import run_of_certificates as run_of_certificates
    from radii.rs_core.comparisons.text import format_comparison as format_comparison
    from radii.rs_core.data.dataset import Dataset as Dataset
    from radii.rs_core.errors import BrokenArchitecture as BrokenArchitecture
    from radii.rs_core.errors import InvalidCheckpoint as InvalidCheckpoint
    from radii.rs_core.errors import InvalidDataset as InvalidDataset
    from radii.rs_core.errors import InvalidImages as InvalidImages
    from radii.rs_core.errors import InvalidResults as InvalidResults
    from radii.rs_core.errors import InvalidSpec as InvalidSpec
    from radii.rs_core.errors import Mismatch as Mismatch
    from radii.rs_core.errors import NetworkFailed as NetworkFailed
    from radii.rs_core.errors import NotFinite as NotFinite
    from radii.rs_core.errors import RadiiError as RadiiError
    from radii.rs_core.errors import TrainingDiverged as TrainingDiverged
    from radii.rs_core.errors import UnknownArchitecture as UnknownArchitecture
    from radii.rs_core.records import ABSTAIN as ABSTAIN
    from radii.rs_core.records import Certificate as Certificate
    from radii.rs_core.records import Prediction as Prediction
    from radii.rs_core.reports.certification import Report as Report
    from radii.rs_core.reports.certification import summarize as summarize
    from radii.rs_core.reports.certification_text import format_table as format_table
    from radii.rs_core.results.tsv import read_tsv as read_tsv
    from radii.rs_core.results.tsv import write_tsv as write_tsv
    from radii.rs_core.specs.jobs import CertifySpec as CertifySpec
    from radii.rs_core.specs.jobs import EvaluateSpec as EvaluateSpec
    from radii.rs_core.specs.jobs import PredictSpec as PredictSpec
    from radii.rs_core.specs.jobs import SoftLabelSpec as SoftLabelSpec
    from radii.rs_core.specs.jobs import VerifySpec as VerifySpec
    from radii.rs_core.specs.training import TrainSpec as TrainSpec
    from radii.rs_core.training.records import EpochRecord as EpochRecord
    from radii.service.client.client import Client as Client
    from radii.service.client.errors import ApiError as ApiError
    from radii.service.client.errors import ClientError as ClientError
    from radii.service.client.errors import JobNotSucceeded as JobNotSucceeded
    from radii.service.client.errors import JobTimeout as JobTimeout
    from radii.service.client.errors import Unreachable as Unreachable
    from radii.service.client.job import Job as Job

_HOMES = {
    "radii.library.certification": ("certify",),
    "radii.library.checkpoints": ("load_checkpoint", "save_checkpoint"),
    "radii.library.datasets": ("load_dataset",),
    "radii.library.training": ("TrainingResult", "train"),
    "radii.rs_core.certify.smoothed_classifier": ("SmoothedClassifier",),
    "radii.rs_core.comparisons.compare": ("compare",),
    "radii.rs_core.comparisons.runs": ("run_of_certificates",),
    "radii.rs_core.comparisons.text": ("format_comparison",),
    "radii.rs_core.checkpoints.checkpoint_info": ("CheckpointInfo",),
    "radii.rs_core.data.dataset": ("Dataset",),
    "radii.rs_core.errors": (
        "BrokenArchitecture",
        "InvalidCheckpoint",
        "InvalidDataset",
        "InvalidImages",
        "InvalidResults",
        "InvalidSpec",
        "Mismatch",
        "NetworkFailed",
        "NotFinite",
        "RadiiError",
        "TrainingDiverged",
        "UnknownArchitecture",
    ),
    "radii.rs_core.reports.certification": ("Report", "summarize"),
    "radii.rs_core.reports.certification_text": ("format_table",),
    "radii.rs_core.records": ("ABSTAIN", "Certificate", "Prediction"),
    "radii.rs_core.results.tsv": ("read_tsv", "write_tsv"),
    "radii.rs_core.specs.jobs": ("CertifySpec", "EvaluateSpec", "PredictSpec", "SoftLabelSpec", "VerifySpec"),
    "radii.rs_core.specs.training": ("TrainSpec",),
    "radii.rs_core.training.records": ("EpochRecord",),
    "radii.service.client.client": ("Client",),
    "radii.service.client.errors": ("ApiError", "ClientError", "JobNotSucceeded", "JobTimeout", "Unreachable"),
    "radii.service.client.job": ("Job",),
}
"""Where each name is defined; the imports above say the same to type checkers and editors."""
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

_NEEDED = {
    "torch": {
        "Dataset",
        "EpochRecord",
        "SmoothedClassifier",
        "TrainingResult",
        "certify",
        "load_checkpoint",
        "load_dataset",
        "save_checkpoint",
        "train",
    },
    "reports": {
        "CheckpointInfo",
        "Report",
        "compare",
        "format_comparison",
        "format_table",
        "run_of_certificates",
        "summarize",
    },
}
"""The names that an extra is needed for. Where it is not installed, completion, ``help(radii)`` and ``__all__`` leave them out."""


def __getattr__(name: str) -> Any:
    if (
        name == "__all__"
    ):  # not a list of the module, so that `from radii import *` does not fail where an extra is missing
        return _installed_names()
    if name == "__version__":
        from radii.version import installed_version

        return installed_version()
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'radii' has no attribute {name!r}")
    try:
        value = getattr(import_module(_MODULE_OF[name]), name)
    except ModuleNotFoundError as error:
        from radii.extras import extra_of, how_to_install

        extra = extra_of(error.name)
        if extra is None:
            raise
        extra = next((needed for needed, names in _NEEDED.items() if name in names), extra)
        message = f"radii.{name} needs the package {error.name}, which is not installed: {how_to_install(extra)}"
        raise ImportError(message, name=error.name) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_installed_names()})


def _installed_names() -> list[str]:
    """The public names whose packages are installed."""
    from radii.extras import is_installed

    missing = {name for extra, names in _NEEDED.items() if not is_installed(extra) for name in names}
    return sorted({*_MODULE_OF, "__version__"} - missing)
