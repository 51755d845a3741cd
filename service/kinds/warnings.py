"""What a reader of a job should know first: that what it has found is implausible.

From the specification and the running sums alone; the report looks at every row. ``radii.rs_core.results.plausibility`` has the rules.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from radii.rs_core.results.plausibility import ObservedOutcome, implausible
from radii.worker.store import corruption_groups
from radii.worker.store.jobs import URGENT
from radii.worker.store.models.result_tables import EpochMetric, JobSummary
from radii.worker.store.models.tables import Dataset, Job


def of_sums(job: Job, summary: JobSummary, dataset: Dataset, *, at_cap: int | None = None) -> tuple[str, ...]:
    """Of the inputs that are done. Which classes were given is not in the sums, and labels are taken to be balanced. Of inputs
    that show the same photographs only the report, which sees each row, judges the accuracy. ``at_cap``: see ``ObservedOutcome``."""
    classes, repeated = dataset.num_classes or 2, bool(corruption_groups.starts(dataset))
    labelled = {label: summary.done for label in range(classes)} if job.priority < URGENT and not repeated else {}
    return implausible(
        ObservedOutcome(
            evaluated=summary.done,
            abstained=summary.abstained,
            answers=None,
            labels=labelled,
            correct=summary.correct,
            at_cap=at_cap,
            assumed=True,
        )
    )


def of_points(summary: JobSummary, dataset: Dataset) -> tuple[str, ...]:
    """Of an evaluation whose first point is the input itself: its accuracy, in which an abstention counts as wrong."""
    if not summary.radii or summary.radii[0] != 0:
        return ()
    classes, repeated = dataset.num_classes or 2, bool(corruption_groups.starts(dataset))
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


def of_epochs(session: Session, job: Job) -> tuple[str, ...]:
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
