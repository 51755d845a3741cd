"""The Python client: ``Client(url).certify(checkpoint=..., dataset=...).wait().report()``.

Answers are the records of ``radii.service.schemas.responses``; certificates are those of ``rs_core``, so that ``radii.rs_core.reports.certification`` and
``radii.rs_core.plots.certification`` read them. Requests are tried again where that is safe (``http``), a job is submitted once
however often its request had to be sent, and files are streamed. Neither torch nor the server is needed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload
from urllib.parse import quote

import httpx

from radii.service.client.errors import ApiError, ClientError, JobNotSucceeded, JobTimeout, Unreachable
from radii.service.client.http import Content, HttpConnection, Waiting
from radii.service.client.job import Job, url_part
from radii.service.client.predictions import Images, Refined, asked
from radii.service.client.uploads import LARGE, in_parts
from radii.service.schemas import responses
from radii.service.schemas.comparisons import Comparison, Published
from radii.service.schemas.plans import Plan
from radii.service.schemas.predictions import Predictions
from radii.service.schemas.responses import Checkpoint, Dataset, Method, Preset, Upload
from radii.service.schemas.storage import Usage

if TYPE_CHECKING:
    from radii.rs_core.specs.jobs import CertifySpec, PredictSpec, SoftLabelSpec, TrainSpec

__all__ = ["ApiError", "Client", "ClientError", "Job", "JobNotSucceeded", "JobTimeout", "Unreachable"]

NOUNS = {"ds": "datasets", "ckpt": "checkpoints", "job": "jobs"}
"""What can be deleted in addition to uploads, by how identifiers begin."""

Resource = TypeVar("Resource", Dataset, Checkpoint)


class Client:
    """One service.

    ``url`` is its address, ``api_key`` a key of ``radii key create``, ``timeout`` the seconds that it may stay silent,
    ``retries`` how often a request is sent again, ``keep_trying`` the seconds for which it is sent again however often:
    both count where the service is away for a while, or has no room for another job. ``waiting`` is called once for each
    request that has to wait, with the reason and the seconds until it is sent again. Every method raises :class:`ApiError`
    where the service answers with a problem, and :class:`Unreachable` where it does not answer. A context manager, which
    closes its connections.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: int = 5,
        keep_trying: float = 0.0,
        waiting: Waiting | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.http = HttpConnection(
            url,
            api_key=api_key,
            timeout=timeout,
            retries=retries,
            keep_trying=keep_trying,
            waiting=waiting,
            transport=transport,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes every connection."""
        self.http.close()

    def upload(self, file: Path | str | bytes, name: str | None = None) -> Upload:
        """Streams a file (a path), or sends bytes, which need a ``name``; a name that is taken gets the new content.

        A large file is sent in parts: after a broken connection, or in another process, it goes on where it was.
        """
        if isinstance(file, bytes):
            if name is None:
                raise ValueError("expected a name for an upload of bytes, got none")
            data = file
            content: Content = lambda: nullcontext(data)  # noqa: E731
        else:
            path = Path(file)
            name = name or path.name
            if path.stat().st_size >= LARGE:
                return in_parts(self.http, path, name)
            content = lambda: path.open("rb")  # noqa: E731
        headers = {"Content-Type": "application/octet-stream"}
        answer = self.http.send("PUT", f"/v1/uploads/{quote(name, safe='')}", content=content, headers=headers)
        return Upload.model_validate_json(answer.content)

    def add_dataset(
        self,
        name: str,
        files: Path | str | Upload | Sequence[Path | str | Upload] | None = None,
        *,
        builtin: str | None = None,
        format: str | None = None,
        class_names: Sequence[str] | None = None,
        resize: int | None = None,
        center_crop: int | None = None,
        photographs: int | None = None,
        wait: bool = True,
    ) -> Dataset:
        """Uploads ``files`` where they are paths, makes a dataset of them or of the built-in ``digits``, and waits
        until it is ready. ``resize`` and ``center_crop`` (pixels) bring the photographs of a zip of class folders to
        one size. ``photographs``: image i of corrupted images shows photograph i modulo this; intervals and tests then
        resample photographs. Raises :class:`ApiError` with the service's reason where it is rejected.
        """
        body = _given(
            builtin=builtin,
            format=format,
            class_names=list(class_names) if class_names else None,
            resize=resize,
            center_crop=center_crop,
            photographs=photographs,
        )
        if files is not None:
            several = [files] if isinstance(files, Path | str | Upload) else files
            body["files"] = [self._uploaded(file) for file in several]
        return self._add(Dataset, "datasets", {"name": name, **body}, wait)

    def corrupt(
        self,
        dataset: Dataset | str,
        name: str,
        *,
        corruptions: Sequence[str] | None = None,
        severities: Sequence[int] | None = None,
        inputs: Mapping[str, int] | None = None,
        seed: int | None = None,
        wait: bool = True,
    ) -> Dataset:
        """Makes a data set of corrupted images of another one, and waits until it is ready; without ``corruptions`` under
        the fifteen common ones, without ``severities`` at all five. The report of a certification on it has rows by
        corruption. Raises :class:`ApiError` with the service's reason where it is rejected.
        """
        asked = _given(
            corruptions=list(corruptions) if corruptions is not None else None,
            severities=list(severities) if severities is not None else None,
            inputs=dict(inputs) if inputs is not None else None,
            seed=seed,
        )
        return self._add(Dataset, "datasets", {"name": name, "corrupt": {"dataset": _id(dataset), **asked}}, wait)

    def add_checkpoint(self, name: str, file: Path | str | Upload, *, wait: bool = True, **known: Any) -> Checkpoint:
        """Uploads ``file`` where it is a path, makes a checkpoint of it, and waits until it is ready.

        ``known`` is what the file does not say of itself: ``architecture``, ``num_classes``, ``input_shape``,
        ``normalization``, ``sigma``, ``method``. Raises :class:`ApiError` where it is rejected.
        """
        body = {"name": name, "file": self._uploaded(file), **_given(**known)}
        return self._add(Checkpoint, "checkpoints", body, wait)

    def compose(
        self, name: str, kind: str, parts: Sequence[Checkpoint | str], *, wait: bool = True, **settings: Any
    ) -> Checkpoint:
        """Makes a checkpoint of checkpoints, and waits until it is ready: ``ensemble`` of classifiers, ``denoised`` of a
        denoiser and a classifier, or ``mixed`` of a standard and a robust classifier.

        ``settings`` are those of the kind: of ``mixed`` ``robust_weight``, which is needed, ``standard_scale``,
        ``robust_scale``, ``standard_size``. Raises :class:`ApiError` where the parts do not go together.
        """
        wanted = {"kind": kind, "parts": [_id(part) for part in parts], **_given(**settings)}
        return self._add(Checkpoint, "checkpoints", {"name": name, "compose": wanted}, wait)

    def dataset(self, id: str) -> Dataset:
        """A data set as it stands."""
        return self._get(Dataset, f"/v1/datasets/{url_part(id)}")

    def checkpoint(self, id: str) -> Checkpoint:
        """A checkpoint as it stands."""
        return self._get(Checkpoint, f"/v1/checkpoints/{url_part(id)}")

    def class_names(self, resource: Dataset | Checkpoint | str) -> list[str]:
        """All class names of a dataset or checkpoint, in the order of the labels; its own field has the first 1,000."""
        id = resource if isinstance(resource, str) else resource.id
        noun = NOUNS.get(id.partition("_")[0], "datasets")
        return [str(name) for name in self.http.items(f"/v1/{noun}/{url_part(id)}/class_names")]

    def uploads(self) -> Iterator[Upload]:
        """The tenant's uploads."""
        return (Upload.model_validate(item) for item in self.http.items("/v1/uploads"))

    def datasets(self) -> Iterator[Dataset]:
        """The tenant's data sets."""
        return (Dataset.model_validate(item) for item in self.http.items("/v1/datasets"))

    def checkpoints(self) -> Iterator[Checkpoint]:
        """The tenant's checkpoints."""
        return (Checkpoint.model_validate(item) for item in self.http.items("/v1/checkpoints"))

    def methods(self) -> Iterator[Method]:
        """The training methods, with the JSON schemas of their hyper-parameters."""
        return (Method.model_validate(item) for item in self.http.items("/v1/methods"))

    def presets(self) -> Iterator[Preset]:
        """The published settings, which :meth:`train` takes by name."""
        return (Preset.model_validate(item) for item in self.http.items("/v1/presets"))

    def preset(self, name: str) -> Preset:
        """A published setting, such as ``cifar10/smoothmix/0.5``."""
        return Preset.model_validate_json(self.http.send("GET", f"/v1/presets/{quote(name)}").content)

    def published(self) -> Iterator[Published]:
        """Published results, which :meth:`compare` shows next to runs by name."""
        return (Published.model_validate(item) for item in self.http.items("/v1/published"))

    def compare(
        self,
        *jobs: Job | str,
        files: Sequence[Upload | str] = (),
        published: Sequence[str] = (),
        baseline: Job | Upload | str | None = None,
        radii: Sequence[float] = (),
        all_pairs: bool = False,
    ) -> Comparison:
        """Certify jobs and uploaded results files on the inputs that they share, with paired tests against ``baseline`` (the
        first by default, a job or a file) or, with ``all_pairs``, of every two; ``published`` are results to show alongside."""
        asked = _comparison(jobs, files, published, baseline, radii, all_pairs)
        return Comparison.model_validate_json(self.http.send("GET", "/v1/compare", params=asked).content)

    def compare_file(
        self,
        target: Path,
        *jobs: Job | str,
        files: Sequence[Upload | str] = (),
        published: Sequence[str] = (),
        baseline: Job | Upload | str | None = None,
        radii: Sequence[float] = (),
        all_pairs: bool = False,
    ) -> None:
        """Writes the comparison to a file, by its ending: a page (.html), a table (.csv), or the plot (.png, .svg)."""
        ending = target.suffix
        place = f".{ending[1:]}" if ending in (".html", ".csv", ".json") else f"/plots/certified-accuracy{ending}"
        asked = _comparison(jobs, files, published, baseline, radii, all_pairs)
        answer = self.http.send("GET", f"/v1/compare{place}", params=asked, headers={"Accept": "*/*"})
        target.write_bytes(answer.content)

    def usage(self) -> Usage:
        """What you have stored, by kind, and your quota."""
        return Usage.model_validate_json(self.http.send("GET", "/v1/usage").content)

    def delete(self, thing: Dataset | Checkpoint | Upload | Job | str) -> None:
        """Deletes a dataset, a checkpoint, an upload, complete or in parts, or a job with its results; 409 while an active job or
        a conversion needs it. What is no identifier of another kind is the name of an upload."""
        name = _id(thing)
        found = re.fullmatch(r"([a-z]+)_[0-9a-f]{28}", name)
        prefix = found[1] if found else ""
        ending = "/parts" if prefix == "parts" else ""
        self.http.send("DELETE", f"/v1/{NOUNS.get(prefix, 'uploads')}/{url_part(name)}{ending}")

    def train(self, *, dataset: Dataset | str, **fields: Any) -> Job:
        """Submits a training job; the other fields are those of ``radii.rs_core.specs.jobs.TrainSpec``, ``name`` and ``preset``.

        With ``preset="cifar10/smoothmix/0.5"`` they are what is to differ from it: ``method={"steps": 2}``.
        """
        return self.submit({"kind": "train", "dataset": _id(dataset), **_ids(fields)})

    def certify(self, *, checkpoint: Checkpoint | str, dataset: Dataset | str, **fields: Any) -> Job:
        """Submits a certification; the other fields are those of ``radii.rs_core.specs.jobs.CertifySpec``."""
        return self.submit({"kind": "certify", "checkpoint": _id(checkpoint), "dataset": _id(dataset), **_ids(fields)})

    def predict(self, *, checkpoint: Checkpoint | str, dataset: Dataset | str, **fields: Any) -> Job:
        """Submits a prediction; the other fields are those of ``radii.rs_core.specs.jobs.PredictSpec``."""
        return self.submit({"kind": "predict", "checkpoint": _id(checkpoint), "dataset": _id(dataset), **_ids(fields)})

    def soft_labels(self, *, checkpoint: Checkpoint | str, dataset: Dataset | str, **fields: Any) -> Job:
        """Submits votes on a training set; the other fields are those of ``radii.rs_core.specs.jobs.SoftLabelSpec``."""
        body = {"kind": "soft_labels", "checkpoint": _id(checkpoint), "dataset": _id(dataset)}
        return self.submit({**body, **_ids(fields)})

    def verify(self, job: Job | str, **fields: Any) -> Job:
        """Submits an audit of a certification; the other fields are those of ``radii.rs_core.specs.jobs.VerifySpec``."""
        return self.submit({"kind": "verify", "job": job if isinstance(job, str) else job.id, **fields})

    def evaluate(
        self, evaluation: Mapping[str, Any], *, checkpoint: Checkpoint | str, dataset: Dataset | str, **fields: Any
    ) -> Job:
        """Submits an evaluation, such as ``{"name": "attack", "epsilons": [0, 0.5], "certificates": job}``; the other fields are
        those of ``radii.rs_core.specs.jobs.EvaluateSpec``. Raises ``TypeError`` for what is no mapping."""
        if not isinstance(evaluation, Mapping):
            raise TypeError(f'expected an evaluation such as {{"name": "attack", ...}}, got {evaluation!r}')
        body = {"kind": "evaluate", "checkpoint": _id(checkpoint), "dataset": _id(dataset)}
        return self.submit({**body, "evaluation": _ids(evaluation), **_ids(fields)})

    @overload
    def submit(self, spec: "Mapping[str, Any] | TrainSpec | CertifySpec | PredictSpec | SoftLabelSpec") -> Job: ...
    @overload
    def submit(
        self,
        spec: "Mapping[str, Any] | TrainSpec | CertifySpec | PredictSpec | SoftLabelSpec",
        *,
        validate_only: Literal[True],
    ) -> Plan: ...
    @overload
    def submit(
        self, spec: "Mapping[str, Any] | TrainSpec | CertifySpec | PredictSpec | SoftLabelSpec", *, validate_only: bool
    ) -> Job | Plan: ...

    def submit(
        self,
        spec: "Mapping[str, Any] | TrainSpec | CertifySpec | PredictSpec | SoftLabelSpec",
        *,
        validate_only: bool = False,
    ) -> Job | Plan:
        """Submits a specification, a record or its JSON-like body; with ``validate_only`` returns the plan alone."""
        from radii.rs_core.specs.jobs import dump_spec

        body = dict(spec) if isinstance(spec, Mapping) else dump_spec(spec)
        if validate_only:
            answer = self.http.send("POST", "/v1/jobs", json=body | {"validate_only": True})
            return Plan.model_validate_json(answer.content)
        return Job.read(self.http, self.http.send("POST", "/v1/jobs", json=body))

    def predict_images(
        self,
        images: Images,
        *,
        checkpoint: Checkpoint | str,
        timeout: float | None = None,
        refined: Refined | None = None,
        **query: Any,
    ) -> Predictions:
        """Class, abstention and certified radius of some images, at once: see ``predictions.images_of`` for what they
        may be. The other fields are those of ``PredictionQuery``: ``sigma``, ``n``, ``alpha``, ``seed``, ...

        Waits until all samples are drawn or ``timeout`` seconds are over, and returns what is certified then, each image's
        prediction valid as it stands; ``refined`` is called with what there is until then, about once a second.
        """
        return asked(self.http, images, {"checkpoint": _id(checkpoint), **_given(**query)}, timeout, refined)

    def job(self, id: str) -> Job:
        """A job as it stands."""
        return Job.read(self.http, self.http.send("GET", f"/v1/jobs/{url_part(id)}"))

    def jobs(self, **filters: str) -> Iterator[Job]:
        """The tenant's jobs, newest first."""
        return (Job(self.http, responses.Job.model_validate(item)) for item in self.http.items("/v1/jobs", **filters))

    def _add(self, kind: type[Resource], noun: str, body: dict[str, Any], wait: bool) -> Resource:
        made = kind.model_validate_json(self.http.send("POST", f"/v1/{noun}", json=body).content)
        if not wait:
            return made
        if made.job is not None:
            self.job(made.job).wait()
        found = self._get(kind, f"/v1/{noun}/{url_part(made.id)}")
        if found.state == "rejected" and found.problem is not None:
            raise ApiError(found.problem.status, found.problem.model_dump(exclude_none=True))
        return found

    def _uploaded(self, file: Path | str | Upload) -> str:
        """An upload by its content, because its name may be given to another one at any time."""
        return file.sha256 if isinstance(file, Upload) else self.upload(file).sha256

    def _get(self, kind: type[Resource], path: str) -> Resource:
        return kind.model_validate_json(self.http.send("GET", path).content)


def _comparison(
    jobs: Sequence[Job | str],
    files: Sequence[Upload | str],
    published: Sequence[str],
    baseline: Job | Upload | str | None,
    radii: Sequence[float],
    all_pairs: bool,
) -> dict[str, Any]:
    """The query of a comparison."""
    body = _given(baseline=None if baseline is None else _reference(baseline), pairs="all" if all_pairs else None)
    named = {"job": [_id(job) for job in jobs], "file": [_reference(file) for file in files]}
    return body | named | {"published": list(published), "radius": list(radii)}


def _reference(thing: Job | Upload | str) -> str:
    return thing.name if isinstance(thing, Upload) else _id(thing)


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _id(thing: Any) -> str:
    return str(getattr(thing, "id", thing))


def _ids(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as JSON: what is a data set, a checkpoint or a job becomes its identifier, what is a record of ``radii.rs_core.specs.jobs``
    its body."""
    from radii.rs_core.specs.jobs import dump_spec

    plain: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Dataset | Checkpoint | Job):
            plain[name] = value.id
        else:
            plain[name] = dump_spec(value) if hasattr(value, "__dataclass_fields__") else value
    return plain
