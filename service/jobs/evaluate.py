"""Planning an evaluation: what it names beside model and data must be the tenant's, and about the same model and data."""

from radii.rs_core.errors import Mismatch
from radii.rs_core.reports.evaluation import require_same_classifier, require_shared_inputs
from radii.rs_core.reports.procedure_text import made_of
from radii.rs_core.specs.composition import mixed_weight
from radii.rs_core.specs.evaluations import FEWEST_CLASSES
from radii.rs_core.specs.jobs import Attack, AutoAttack, CertifySpec, EvaluateSpec
from radii.service.errors import UnknownResource
from radii.service.jobs import planning
from radii.service.jobs.planned_job import PlanningContext
from radii.service.lookup import find, shown
from radii.service.views.certification_report import spec_of
from radii.worker.store import content_keys
from radii.worker.store.models.tables import Checkpoint, Dataset, Job
from radii.worker.store.specifications import as_kind

WHERE = "evaluation.certificates"


def check_evaluation(context: PlanningContext, spec: EvaluateSpec, dataset: Dataset, checkpoint: Checkpoint) -> None:
    """Raises the problem where the certificates that an attack is to be held against are none, or of something else."""
    asked = spec.evaluation
    if isinstance(asked, Attack) and asked.target == "mix":
        composition = (checkpoint.info or {}).get("composition")
        mixed_weight(asked.robust_weight, composition, checkpoint.id, "target = mix", "evaluation.target")
    if isinstance(asked, AutoAttack):
        _check_autoattack(asked, checkpoint)
    if not isinstance(asked, Attack) or asked.certificates is None:
        return
    job = find(context.session, Job, context.tenant_id, asked.certificates)
    if job is None:
        wanted, got = "the identifier of a certify job of yours", shown(asked.certificates)
        raise UnknownResource(expected=wanted, got=got, where=WHERE)
    if job.kind != "certify":
        raise Mismatch(expected="a certify job", got=f"{job.id}, of kind {job.kind}", where=WHERE)
    theirs = (
        content_keys.content_of(context.session.get_one(Checkpoint, job.checkpoint_id)),
        content_keys.content_of(context.session.get_one(Dataset, job.dataset_id)),
    )
    if theirs != (content_keys.content_of(checkpoint), content_keys.content_of(dataset)):
        raise Mismatch(expected="certificates of the same model and data set", got=f"{job.id}, of others", where=WHERE)
    sigma = planning.resolve(spec, checkpoint).sigma
    theirs_spec = as_kind(job.resolved, CertifySpec)
    if theirs_spec.sigma != sigma:
        got = f"{job.id}, of sigma = {theirs_spec.sigma:g}"
        raise Mismatch(expected=f"certificates of sigma = {sigma:g}", got=got, where=WHERE)
    composition = (checkpoint.info or {}).get("composition")
    require_same_classifier(asked, composition, made_of(spec_of(job)), job.id, WHERE)
    certified = theirs_spec.inputs.indices(dataset.count or 0)
    require_shared_inputs(spec.inputs.indices(dataset.count or 0), certified, job.id, WHERE)


def _check_autoattack(asked: AutoAttack, checkpoint: Checkpoint) -> None:
    if "apgd-t" in asked.attacks and (checkpoint.num_classes or 0) < FEWEST_CLASSES:
        expected = f"a model of at least {FEWEST_CLASSES} classes for apgd-t"
        raise Mismatch(expected=expected, got=f"one of {checkpoint.num_classes}", where="evaluation.attacks")
    composition = (checkpoint.info or {}).get("composition") or {}
    if asked.adaptive and not composition.get("mixing"):
        got = f"{checkpoint.id}, {checkpoint.architecture}"
        raise Mismatch(expected="a model with a mixing network", got=got, where="evaluation.adaptive")
