"""Planning an evaluation: what it names beside model and data must be the tenant's, and about the same model and data."""

from rs_core.composition import mixed_weight
from rs_core.errors import Mismatch
from rs_core.spec import Attack, EvaluateSpec
from service.dependencies import find, shown
from service.errors import UnknownResource
from service.planned import Desk
from worker.store import planning, reuse
from worker.store.tables import Checkpoint, Dataset, Job

WHERE = "evaluation.certificates"


def check_evaluation(desk: Desk, spec: EvaluateSpec, dataset: Dataset, checkpoint: Checkpoint) -> None:
    """Raises the problem where the certificates that an attack is to be held against are none, or of something else."""
    asked = spec.evaluation
    if isinstance(asked, Attack) and asked.target == "mix":
        composition = (checkpoint.info or {}).get("composition")
        mixed_weight(asked.robust_weight, composition, checkpoint.id, "target = mix", "evaluation.target")
    if not isinstance(asked, Attack) or asked.certificates is None:
        return
    job = find(desk.session, Job, desk.tenant_id, asked.certificates)
    if job is None:
        wanted, got = "the identifier of a certify job of yours", shown(asked.certificates)
        raise UnknownResource(expected=wanted, got=got, where=WHERE)
    if job.kind != "certify":
        raise Mismatch(expected="a certify job", got=f"{job.id}, a {job.kind} job", where=WHERE)
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
