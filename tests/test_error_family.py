"""Whatever is raised toward a user is one of the project's own errors, which are one sentence each."""

import importlib
import pkgutil
from collections.abc import Iterator

from radii import migrations, rs_core, service, worker
from radii.rs_core.errors import OperationError, RadiiError
from radii.service.cli.main import sentence
from radii.service.client.errors import ClientError
from radii.worker.store.backup.create import CannotCopy

INSIDE = {
    "radii.rs_core.data.formats.image_folders.ColorImageFound": "ends the search for a picture in color",
    "radii.rs_core.evaluate.autoattack._Stopped": "leaves an attack at a batch",
    "radii.service.errors.BodyRefused": "becomes the problem that it carries",
    "radii.service.limits.request_turns.ClientGone": "ends a request that nobody waits for",
    "radii.worker.sandbox.decoder_client.Ended": "becomes InvalidImages",
    "radii.worker.shard_session.ShardAbandoned": "ends the work on a shard whose lease may be lost",
    "radii.worker.shard_session.ShardHandedBack": "ends the work on a shard that is handed back",
    "radii.worker.isolation.exchange.TooLong": "becomes InvalidDataset or InvalidCheckpoint",
    "radii.worker.child.handle.ChildEnded": "becomes the end of a shard's attempt",
    "radii.worker.store.blobs.multipart_uploads.DamagedParts": "becomes the problem of an upload",
    "radii.worker.store.shards.LeaseLost": "ends the work on a shard that another worker has",
}
"""Exceptions that the code itself catches, and what becomes of them."""


def _defined() -> Iterator[type[Exception]]:
    for package in (rs_core, worker, service, migrations):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith((".env", "__main__")):
                continue
            module = importlib.import_module(found.name)
            for value in vars(module).values():
                if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == module.__name__:
                    yield value


def test_every_exception_is_in_the_family_or_never_leaves_the_code() -> None:
    outside = {
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in _defined()
        if not issubclass(kind, RadiiError | ClientError)
    }
    assert outside == set(INSIDE)


def test_an_error_of_an_operator_is_its_own_sentence_for_the_command_line_and_as_a_problem() -> None:
    error = CannotCopy("expected a folder, got a file")
    assert isinstance(error, OperationError)
    assert sentence(error) == str(error) == error.problem()["detail"] == "expected a folder, got a file"
    assert error.problem()["type"] == "urn:radii:problem:cannot-copy"


def test_a_problem_that_names_an_error_of_operators_does_not_make_one() -> None:
    """It may come from a process that is not trusted."""
    made = RadiiError.from_problem({"type": "urn:radii:problem:wrong-schema", "expected": "a", "got": "b"})
    assert type(made) is RadiiError and made.got == "b"
