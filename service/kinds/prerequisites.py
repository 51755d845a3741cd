"""What a training needs beside its data: soft labels, and the classifier that votes for them.

CAT-RS (Jeong, Kim and Shin 2023, arXiv 2212.09000) learns from the votes of a classifier trained under Gaussian noise.
Both are jobs of their own, found by what they compute or made along with the training: the votes depend on neither its
noise level nor its hyper-parameters, so that one set of them serves many trainings.
"""

from dataclasses import replace

from radii.rs_core.errors import Mismatch
from radii.rs_core.methods.registry import method
from radii.rs_core.models.code_hash import network_of
from radii.rs_core.soft_labels.labels import vote_spec, voter_spec
from radii.rs_core.specs.composition import networks_in
from radii.rs_core.specs.jobs import CatRs, NoiseJob, SoftLabelSpec, TrainSpec
from radii.service.errors import Rejected
from radii.service.kinds.planned_job import PlannedJob, PlanningContext, named_job, plan_one, ready
from radii.service.kinds.planning import JobResources
from radii.service.lookup import find
from radii.worker.store import content_keys, jobs, prediction_rows
from radii.worker.store.models.tables import Checkpoint, Dataset, Job, Tenant
from radii.worker.store.specifications import as_kind

WHERE = "method.soft_labels"
TO_BE_MADE = "to be made"


def needed(context: PlanningContext, spec: TrainSpec, data: JobResources) -> PlannedJob | Job | None:
    """The job that a training needs first: one that is there, or the plan of one."""
    if not method(spec.method.name).needs_soft_labels:
        return None
    assert isinstance(spec.method, CatRs)
    if spec.method.soft_labels is not None:
        return _given(context, spec, data, spec.method.soft_labels)
    # Of two equal requests at once, the second is to find what the first one makes.
    context.session.get_one(Tenant, context.tenant_id, with_for_update={"key_share": True})
    votes = vote_spec(spec, spec.method.soft_label_checkpoint or TO_BE_MADE)
    if spec.method.soft_label_checkpoint is None:
        return _by_training(context, spec, votes, data)
    return _by_checkpoint(context, votes, data)


def train_key(
    context: PlanningContext, spec: TrainSpec, data: JobResources, needs: PlannedJob | Job | None = None
) -> str:
    """The content key of a training; ``needs`` is the job of its soft labels.

    Test data are part of it where they decide which weights are kept.
    """
    start = find(context.session, Checkpoint, context.tenant_id, spec.start_from) if spec.start_from else None
    chosen_by_test = spec.keep in ("test_accuracy", "acr")
    things = {
        "dataset": content_keys.content_of(data.dataset),
        "test_dataset": content_keys.content_of(data.test_dataset) if chosen_by_test else None,
        "start_from": content_keys.content_of(start),
    }
    if needs is not None:
        votes = needs.new.content_key if isinstance(needs, PlannedJob) else needs.content_key or needs.id
        things["soft_labels"] = votes
    return content_keys.content_key(spec, things)


def vote_key(votes: SoftLabelSpec, data: JobResources, voter: str) -> str:
    """The content key of votes; ``voter`` is :func:`of_file` or :func:`of_training`."""
    return content_keys.content_key(votes, {"dataset": content_keys.content_of(data.dataset), "checkpoint": voter})


def of_file(checkpoint: Checkpoint) -> str:
    """A classifier by its weights."""
    networks = filter(None, map(network_of, networks_in(checkpoint.architecture, checkpoint.info)))
    return " ".join(["file", str(content_keys.content_of(checkpoint)), *networks])


def of_training(key: str) -> str:
    """A classifier by the training that makes it, or has made it."""
    return f"training {key}"


def _by_training(
    context: PlanningContext, spec: TrainSpec, votes: SoftLabelSpec, data: JobResources
) -> PlannedJob | Job:
    maker, data = voter_spec(spec), JobResources(dataset=data.dataset)
    key = train_key(context, maker, data)
    votes_key = vote_key(votes, data, of_training(key))
    if found := content_keys.find(context.session, context.tenant_id, "soft_labels", votes_key):
        return found
    training = content_keys.find(context.session, context.tenant_id, "train", key)
    if training is None:
        making = plan_one(context, maker, data, key=key)
        return plan_one(context, votes, replace(data, maker=maker), key=votes_key, needs=making)
    made = context.session.get_one(Checkpoint, training.checkpoint_id)
    votes = replace(votes, checkpoint=made.id)
    if training.state != jobs.SUCCEEDED:
        return plan_one(context, votes, replace(data, checkpoint=made, maker=maker), key=votes_key, needs=training)
    found = content_keys.find(context.session, context.tenant_id, "soft_labels", vote_key(votes, data, of_file(made)))
    return found or plan_one(context, votes, replace(data, checkpoint=made), key=votes_key)


def _by_checkpoint(context: PlanningContext, votes: SoftLabelSpec, data: JobResources) -> PlannedJob | Job:
    row = ready(context.session, Checkpoint, context.tenant_id, votes.checkpoint, "method.soft_label_checkpoint")
    key = vote_key(votes, data, of_file(row))
    if found := content_keys.find(context.session, context.tenant_id, "soft_labels", key):
        return found
    maker = context.session.get(Job, row.source.get("job", ""))
    if maker is not None and maker.content_key is not None:
        by_training = vote_key(votes, data, of_training(maker.content_key))
        if found := content_keys.find(
            context.session, context.tenant_id, "soft_labels", by_training, checkpoint_id=row.id
        ):
            return found
    return plan_one(context, votes, JobResources(dataset=data.dataset, checkpoint=row), key=key)


def _given(context: PlanningContext, spec: TrainSpec, data: JobResources, identifier: str) -> Job:
    """The soft_labels job that the request names; raises where it cannot serve the training."""
    job = named_job(context, identifier, "soft_labels", WHERE)
    hopeless = jobs.hopeless(context.session, job.id)
    context.session.get(Job, job.id, populate_existing=True)
    if hopeless is not None:
        link, state = hopeless
        reason = f"which is {state}" if link == job.id else f"which needs {link}, which is {state}"
        wanted = "a soft_labels job that has succeeded or may yet"
        raise Rejected(expected=wanted, got=f"{job.id}, {reason}", where=WHERE, problem=job.problem)
    _check_same_data(context, job, data.dataset)
    _check_covered(context, job, spec.inputs.indices(data.dataset.count or 0), data.dataset.count or 0)
    return job


def _check_same_data(context: PlanningContext, job: Job, dataset: Dataset) -> None:
    theirs = context.session.get_one(Dataset, job.dataset_id)
    same_classes = theirs.num_classes == dataset.num_classes
    if not same_classes or content_keys.content_of(theirs) != content_keys.content_of(dataset):
        raise Mismatch(
            expected=f"votes on data set {dataset.id} or an equal one, {dataset.num_classes} classes",
            got=f"{job.id}, which votes on {theirs.id}, {theirs.num_classes} classes",
            where=WHERE,
        )


def _check_covered(context: PlanningContext, job: Job, wanted: range, size: int) -> None:
    theirs = as_kind(job.spec, NoiseJob).inputs.indices(size)
    missing = next((index for index in wanted if index not in theirs), None)
    if missing is not None:
        got = f"{job.id}, which does not vote on index {missing}"
        raise Mismatch(expected="votes on every training input", got=got, where=WHERE)
    if failed := prediction_rows.without_votes(context.session, job.id, wanted):
        got = f"none on index {failed[0]} in {job.id}: {failed[1]}"
        raise Mismatch(expected="votes on every training input", got=got, where=WHERE)
