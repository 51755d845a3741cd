"""The recipe "Add a kind of job" of CONTRIBUTING.md, followed in a copy of the source: the new kind goes through HTTP, queue, worker,
report and pages.

The kind measures how often a classifier under noise agrees with itself without noise. Its new files are in ``data/new_kind``; ``ROWS``
are what the recipe adds to files that are there.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
NEW = Path(__file__).parent / "data" / "new_kind"

ROWS: dict[str, list[tuple[str, str]]] = {
    "rs_core/records.py": [
        (
            "@dataclass(frozen=True, kw_only=True)\nclass Prediction:",
            '''@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How many of ``n`` noise samples have the class of the input without noise, ``plain``."""

    index: int
    label: int = UNKNOWN_LABEL
    plain: int
    agreeing: int
    n: int
    seed: int
    seconds: float = 0.0
    batch_size: int | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction:''',
        )
    ],
    "rs_core/specs/jobs.py": [
        (
            "\nSpec = TrainSpec | ",
            '''
@record
class AgreementSpec(NoiseJob):
    """How often a classifier under noise agrees with itself without noise."""

    kind: Literal["agreement"] = "agreement"
    n: Annotated[int, Field(ge=1, le=MAX_SAMPLES), Flag(SAMPLING, "Noise samples per input.")] = 100


Spec = AgreementSpec | TrainSpec | ''',
        )
    ],
    "worker/store/models/result_tables.py": [
        (
            "class SampleProgress(Base):",
            '''class AgreementRow(Base):
    """How often a classifier agreed with itself on one input."""

    __tablename__ = "agreement"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[int]
    plain: Mapped[int]
    agreeing: Mapped[int]
    n: Mapped[int]
    seed: Mapped[int]
    seconds: Mapped[float]
    batch_size: Mapped[int | None]
    error: Mapped[str | None]


class SampleProgress(Base):''',
        )
    ],
    "worker/kinds/registry.py": [
        (
            "from radii.worker.kinds.certify",
            "from radii.worker.kinds.agreement import AGREEMENT\nfrom radii.worker.kinds.certify",
        ),
        ("in (CERTIFY, ", "in (AGREEMENT, CERTIFY, "),
    ],
    "service/kinds/registry.py": [
        (
            "from radii.service.kinds.certify",
            "from radii.service.kinds.agreement import AGREEMENT\nfrom radii.service.kinds.certify",
        ),
        ("in (CERTIFY, ", "in (AGREEMENT, CERTIFY, "),
    ],
    "service/schemas/requests.py": [
        ("    CertifySpec,\n", "    AgreementSpec,\n    CertifySpec,\n"),
        (
            "AnyJobRequest = ",
            '@record\nclass AgreementJob(AgreementSpec, RequestOptions):\n    """A measurement of agreement."""\n\n\n'
            "AnyJobRequest = AgreementJob | ",
        ),
    ],
    "service/schemas/responses.py": [
        ("JobKind = Literal[", 'JobKind = Literal["agreement", '),
        (
            "Summary = Annotated[",
            '''class AgreementSummary(Answer):
    """The mean share of agreeing noise samples, over the inputs that are done."""

    kind: Literal["agreement"] = "agreement"
    partial: bool
    inputs_total: int
    inputs_done: int
    share: float | None = None


Summary = Annotated[AgreementSummary | ''',
        ),
    ],
    "service/schemas/job_results.py": [
        (
            "class Found(Answer):",
            '''class Agreement(Answer):
    """How many noise samples have the class of the input without noise."""

    index: int
    label: int | None
    plain: int
    agreeing: int
    n: int
    error: str | None = None


class Found(Answer):''',
        )
    ],
    "service/api/routes/rows.py": [
        ("import certificate_rows, ", "import agreement_rows, certificate_rows, "),
        ("from radii.rs_core.records import ", "from radii.rs_core.records import Agreement, "),
        (
            "ROWS = (\n",
            """ROWS = (
    RowPart(
        noun="agreements",
        kinds=("agreement",),
        tag="certificates",
        record=Agreement,
        answer=job_results.Agreement,
        read=agreement_rows.read,
        formats=("csv", "ndjson"),
        page_text="The agreements so far, by index.",
        file_text="All agreements so far as a file.",
    ),
""",
        ),
    ],
    "service/api/routes/reports.py": [
        (
            "REPORTS: dict",
            """def _agreement(session: Session, found: Sources) -> Answer:
    share = agreement_rows.shares(session, [found.job.id]).get(found.job.id)
    body = {"job": found.job.id, "inputs": found.summary.total, "done": found.summary.done, "share": share}
    return lambda form, headers: JSONResponse(body, headers=headers)


REPORTS: dict""",
        ),
        ('= {"certify": ', '= {"agreement": _agreement, "certify": '),
        (
            "from radii.service.api.dependencies",
            "from fastapi.responses import JSONResponse\nfrom radii.worker.store import agreement_rows\nfrom radii.service.api.dependencies",
        ),
    ],
    "service/cli/transfer.py": [
        ('    "report": {', '    "agreements": {"agreements.ndjson": "agreements.ndjson"},\n    "report": {'),
    ],
    "service/cli/connection.py": [
        (
            "SUMMARIES: dict",
            """def _of_agreement(summary: Any, at: str) -> list[str]:
    share = "not known yet" if summary.share is None else f"{100 * summary.share:.2f} %"
    return [f"Agreement with the class without noise{at}: {share}."]


SUMMARIES: dict""",
        ),
        ('    "certify": _of_certificates', '    "agreement": _of_agreement,\n    "certify": _of_certificates'),
    ],
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source with the new kind, for ``PYTHONPATH``."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "radii", tree / "radii", ignore=shutil.ignore_patterns("__pycache__"))  # follows the links
    shutil.copytree(NEW, tree / "radii", dirs_exist_ok=True)
    for name, rows in ROWS.items():
        path = tree / "radii" / name
        text = path.read_text()
        for before, after in rows:
            assert text.count(before) == 1, (name, before)
            text = text.replace(before, after)
        path.write_text(text)
    return tree


@pytest.fixture(scope="module")
def service(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service with an embedded worker, from that source."""
    data = tmp_path_factory.mktemp("data")
    with _started(tree, data, "up", "--port", "0") as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not (found := re.search(r"radii is listening on (http://\S+)", "".join(lines))):
            line = process.stdout.readline()
            assert line, "".join(lines)
            lines.append(line)
        yield found[1]
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def job(service: str) -> dict[str, Any]:
    """A job of the new kind on a classifier that was trained there, and has ended."""
    dataset = _sent(f"{service}/v1/datasets", {"name": "digits", "builtin": "digits"})
    while dataset["state"] == "pending":
        dataset = json.loads(_got(f"{service}/v1/datasets/{dataset['id']}?wait=20"))
    of_it = {"dataset": dataset["id"], "inputs": {"count": 200}}
    training = {"kind": "train", "architecture": "digits_cnn", "sigma": 0.25, "epochs": 1, **of_it}
    trained = _ended(service, _sent(f"{service}/v1/jobs", training))
    asked = {"kind": "agreement", "dataset": dataset["id"], "checkpoint": trained["checkpoint"], "inputs": {"count": 5}}
    return _ended(service, _sent(f"{service}/v1/jobs", asked))


def test_the_recipe_names_every_file() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    recipe = text.split("## Add a kind of job")[1].split("\n## ")[0]
    new = [path.relative_to(NEW).as_posix().replace("agreement", "KIND") for path in NEW.rglob("*") if path.is_file()]
    for path in [*ROWS, *new]:
        named = re.sub(r"versions/.*", "versions/", path).replace("KIND_rows", "NOUN_rows")
        assert f"`{named}" in recipe, path


def test_it_is_planned_queued_and_run(job: dict[str, Any]) -> None:
    assert (job["spec"]["n"], job["spec"]["sigma"]) == (100, 0.25), "defaults, and the noise level of the checkpoint"
    assert (job["progress"]["done"], job["progress"]["work_done"]) == (5, 500)
    assert job["execution"]["device_type"] == "cpu" and job["execution"]["precision"] == "fp32"


def test_its_rows_come_as_pages_and_as_a_file(service: str, job: dict[str, Any]) -> None:
    rows = json.loads(_got(f"{service}/v1/jobs/{job['id']}/agreements"))["items"]
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]
    assert all(0 < row["agreeing"] <= row["n"] == 100 for row in rows)
    assert _got(f"{service}/v1/jobs/{job['id']}/agreements.csv").count("\n") == 6
    lines = _got(f"{service}/v1/jobs/{job['id']}/agreements.ndjson").splitlines()
    assert [json.loads(line)["agreeing"] for line in lines] == [row["agreeing"] for row in rows]


def test_summary_report_and_pages_show_the_mean_of_the_rows(service: str, job: dict[str, Any]) -> None:
    rows = json.loads(_got(f"{service}/v1/jobs/{job['id']}/agreements"))["items"]
    mean = sum(row["agreeing"] for row in rows) / 500
    report = json.loads(_got(f"{service}/v1/jobs/{job['id']}/report"))
    assert job["summary"]["share"] == report["share"] == pytest.approx(mean)
    for page in ("/", f"/jobs/{job['id']}"):
        assert f"{100 * mean:.2f} %" in _got(service + page)


def test_the_command_line_shows_it_and_fetches_its_rows(
    tree: Path, service: str, job: dict[str, Any], tmp_path: Path
) -> None:
    assert "Agreement with the class without noise" in _run(tree, "status", job["id"], "--server", service)
    _run(tree, "fetch", job["id"], "--out", str(tmp_path), "--server", service)
    assert len((tmp_path / "agreements.ndjson").read_text().splitlines()) == 5
    told = re.sub(r"\s+", " ", re.sub("[│╭╮╰╯─]", " ", _run(tree, "submit", "--help")))
    assert "100 for agreement" in told, "its fields are options of submit"


def test_bad_input_gets_the_errors_of_every_kind(service: str, job: dict[str, Any]) -> None:
    body = {name: job["spec"][name] for name in ("kind", "dataset", "checkpoint")}
    with pytest.raises(urllib.error.HTTPError) as refused:
        _sent(f"{service}/v1/jobs", body | {"n": 0, "alpha": 0.1})
    problem = json.load(refused.value)
    assert (refused.value.code, {fault["location"] for fault in problem["errors"]}) == (422, {"body.n", "body.alpha"})


def _started(tree: Path, data: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-P", "-m", "radii", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=data, env=_variables(tree, data), stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


def _run(tree: Path, *arguments: str) -> str:
    command = [sys.executable, "-P", "-m", "radii", *arguments]
    done = subprocess.run(command, env=_variables(tree, tree), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _variables(tree: Path, data: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("RADII_")}
    return own | {"PYTHONPATH": str(tree), "RADII_DATA": str(data), "COLUMNS": "200"}


def _ended(service: str, job: dict[str, Any]) -> dict[str, Any]:
    while (job := json.loads(_got(f"{service}/v1/jobs/{job['id']}?wait=20")))["state"] in ("queued", "running"):
        pass
    assert job["state"] == "succeeded", job
    return job


def _sent(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _got(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())
