"""What a reader of a job should hear first: that it cannot find anything, or that what it has found is implausible.

From the specification and the running sums alone; the report looks at every row. ``radii.rs_core.results.plausibility`` has the rules.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from radii.rs_core.errors import InvalidSpec
from radii.rs_core.results.plausibility import ObservedOutcome, implausible, too_few_samples
from radii.rs_core.specs.jobs import CertifySpec
from radii.worker.store import corruption_groups
from radii.worker.store.jobs import URGENT
from radii.worker.store.models.result_tables import EpochMetric, JobSummary
from radii.worker.store.models.tables import Dataset, Job

WITH_SAMPLES = ("certify", "predict", "soft_labels", "evaluate", "train")


def warnings_of(session: Session, job: Job) -> list[str]:
    """Sentences, the most important first; empty where there is nothing to say."""
    summary, dataset = session.get(JobSummary, job.id), session.get(Dataset, job.dataset_id or "")
    if job.kind not in WITH_SAMPLES or summary is None or dataset is None:
        return []
    classes = dataset.num_classes or 2
    try:
        found = too_few_samples(job.resolved, summary.total, classes)
    except InvalidSpec:  # written by another version
        found = ()
    if job.kind == "train":
        return [*found, *_of_epochs(session, job)]
    repeated = bool(corruption_groups.starts(dataset))
    return [*found, *_of_sums(job, summary, classes, repeated), *_of_points(job, summary, classes, repeated)]


def _of_sums(job: Job, summary: JobSummary, classes: int, repeated: bool) -> tuple[str, ...]:
    """Of the inputs that are done. Which classes were given is not in the sums, and labels are taken to be balanced. Of inputs
    that show the same photographs only the report, which sees each row, judges the accuracy."""
    growing = isinstance(job.spec, CertifySpec) and job.spec.sampling == "anytime" and summary.done < summary.total
    if job.kind not in ("certify", "predict", "soft_labels") or growing:  # sums of inputs that still grow say little
        return ()
    labelled = {label: summary.done for label in range(classes)} if job.priority < URGENT and not repeated else {}
    return implausible(
        ObservedOutcome(
            evaluated=summary.done,
            abstained=summary.abstained,
            answers=None,
            labels=labelled,
            correct=summary.correct,
            at_cap=summary.at_cap if job.kind == "certify" else None,
            assumed=True,
        )
    )


def _of_points(job: Job, summary: JobSummary, classes: int, repeated: bool) -> tuple[str, ...]:
    """Of an evaluation whose first point is the input itself: its accuracy, in which an abstention counts as wrong."""
    if job.kind != "evaluate" or not summary.radii or summary.radii[0] != 0:
        return ()
    done = summary.done - summary.errors
    return implausible(
        ObservedOutcome(
            evaluated=done,
            abstained=None,
            answers=None,
            labels={} if repeated else {label: done for label in range(classes)},
            correct=summary.correct_at[0],
            assumed=True,
        )
    )


def _of_epochs(session: Session, job: Job) -> tuple[str, ...]:
    """Of the last epoch, on the test data set; its labels are taken to be balanced."""
    if job.test_dataset_id is None:
        return ()
    query = select(EpochMetric.test_accuracy).where(EpochMetric.job_id == job.id).order_by(EpochMetric.epoch.desc())
    accuracy, dataset = session.scalar(query.limit(1)), session.get(Dataset, job.test_dataset_id)
    if accuracy is None or dataset is None or not dataset.count:
        return ()
    count, correct = dataset.count, round(accuracy * dataset.count)
    labels = {} if corruption_groups.starts(dataset) else {label: count for label in range(dataset.num_classes or 2)}
    return implausible(
        ObservedOutcome(
            evaluated=count,
            abstained=0,
            answers=None,
            labels=labels,
            correct=correct,
            smoothed=False,
            assumed=True,
        )
    )
