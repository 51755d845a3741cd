"""Planning an evaluation: what it names beside model and data must be the tenant's, and about the same model and data."""

from rs_core.composition import mixed_weight
from rs_core.errors import Mismatch
from rs_core.evaluate_spec import FEWEST_CLASSES
from rs_core.evaluation_report import require_same_classifier, require_shared_inputs
from rs_core.procedure_text import made_of
from rs_core.spec import Attack, AutoAttack, EvaluateSpec, Selection
from service.errors import UnknownResource
from service.lookup import find, shown
from service.planned import Desk
from service.reports import spec_of
from worker.store import planning, reuse
from worker.store.tables import Checkpoint, Dataset, Job

WHERE = "evaluation.certificates"


def check_evaluation(desk: Desk, spec: EvaluateSpec, dataset: Dataset, checkpoint: Checkpoint) -> None:
    """Raises the problem where the certificates that an attack is to be held against are none, or of something else."""
    asked = spec.evaluation
    if isinstance(asked, Attack) and asked.target == "mix":
        composition = (checkpoint.info or {}).get("composition")
        mixed_weight(asked.robust_weight, composition, checkpoint.id, "target = mix", "evaluation.target")
    if isinstance(asked, AutoAttack):
        _check_autoattack(asked, checkpoint)
    if not isinstance(asked, Attack) or asked.certificates is None:
        return
    job = find(desk.session, Job, desk.tenant_id, asked.certificates)
    if job is None:
        wanted, got = "the identifier of a certify job of yours", shown(asked.certificates)
        raise UnknownResource(expected=wanted, got=got, where=WHERE)
    if job.kind != "certify":
        raise Mismatch(expected="a certify job", got=f"{job.id}, of kind {job.kind}", where=WHERE)
    theirs = (
        reuse.content_of(desk.session.get_one(Checkpoint, job.checkpoint_id)),
        reuse.content_of(desk.session.get_one(Dataset, job.dataset_id)),
    )
    if theirs != (reuse.content_of(checkpoint), reuse.content_of(dataset)):
        raise Mismatch(expected="certificates of the same model and data set", got=f"{job.id}, of others", where=WHERE)
    sigma = planning.resolve_sigma(spec, checkpoint)
    if job.spec["sigma"] != sigma:
        got = f"{job.id}, of sigma = {job.spec['sigma']:g}"
        raise Mismatch(expected=f"certificates of sigma = {sigma:g}", got=got, where=WHERE)
    composition = (checkpoint.info or {}).get("composition")
    require_same_classifier(asked, composition, made_of(spec_of(job)), job.id, WHERE)
    certified = Selection(**job.spec["inputs"]).indices(dataset.count or 0)
    require_shared_inputs(spec.inputs.indices(dataset.count or 0), certified, job.id, WHERE)


def _check_autoattack(asked: AutoAttack, checkpoint: Checkpoint) -> None:
    if "apgd-t" in asked.attacks and (checkpoint.num_classes or 0) < FEWEST_CLASSES:
        expected = f"a model of at least {FEWEST_CLASSES} classes for apgd-t"
        raise Mismatch(expected=expected, got=f"one of {checkpoint.num_classes}", where="evaluation.attacks")
    composition = (checkpoint.info or {}).get("composition") or {}
    if asked.adaptive and not composition.get("mixing"):
        got = f"{checkpoint.id}, {checkpoint.architecture}"
        raise Mismatch(expected="a model with a mixing network", got=got, where="evaluation.adaptive")
