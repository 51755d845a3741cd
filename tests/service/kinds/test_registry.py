"""Every kind of job is one object in the worker and one in the service, and both know the same kinds."""

from typing import get_args

import pytest

from radii.rs_core.specs.jobs import RECORDS, NoiseJob
from radii.service.kinds import registry
from radii.service.kinds.kind import Kind, NoiseKind
from radii.service.schemas import requests, responses
from radii.service.views.rendering import TEMPLATES
from radii.worker.kinds import registry as workers

SUBMITTED = [kind for kind in registry.KINDS.values() if kind.name in RECORDS]


def test_service_worker_and_schemas_know_the_same_kinds() -> None:
    assert registry.KINDS.keys() == workers.KINDS.keys() == set(get_args(responses.JobKind))
    assert all(registry.KINDS[name].worker is kind for name, kind in workers.KINDS.items())


def test_every_kind_that_can_be_submitted_has_a_body() -> None:
    assert set(requests.KINDS) == RECORDS.keys() == registry.KINDS.keys() - {"convert"}
    assert all(issubclass(body, RECORDS[body.kind]) for body in requests.RECORDS)


@pytest.mark.parametrize("kind", SUBMITTED, ids=lambda kind: kind.name)
def test_a_kind_on_chosen_inputs_is_planned_as_one(kind: Kind) -> None:  # type: ignore[type-arg]
    assert issubclass(kind.worker.spec, NoiseJob) == isinstance(kind, NoiseKind)


@pytest.mark.parametrize("kind", registry.KINDS.values(), ids=lambda kind: kind.name)
def test_its_part_of_the_pages_is_there(kind: Kind) -> None:  # type: ignore[type-arg]
    assert (TEMPLATES / kind.template).is_file()


def test_progress_is_counted_in_units_that_answers_know() -> None:
    units = set(get_args(responses.Progress.model_fields["unit"].annotation))
    work_units = set(get_args(responses.WorkUnit))
    assert all(kind.unit in units and kind.work_unit in work_units for kind in registry.KINDS.values())
