"""Errors say the same in every mode of the interpreter, and are never larger than a person can read."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import radii
from radii.rs_core.errors import InvalidDataset, RadiiError

ROOT = Path(radii.__file__).parent
TITLES = """
import json, sys
import radii.service.api.auth, radii.service.cli.main, radii.service.errors, radii.service.api.app
from radii.rs_core.errors import OperationError, RadiiError
def below(kind):
    return [found for child in kind.__subclasses__() for found in (child, *below(child))]
kinds = (RadiiError, *below(RadiiError))
error = {kind.__name__: kind(expected="a", got="b").problem() for kind in kinds if not issubclass(kind, OperationError)}
titles = {kind.__name__: kind.title for kind in kinds}
print(json.dumps({"optimized": sys.flags.optimize, "errors": error, "titles": titles}))
"""
SERVICE = """
import json, sys
from fastapi.testclient import TestClient
from radii.service.api.app import create_app
from radii.worker.settings import Settings
from radii.worker.store import schema_version
from radii.worker.store.database import Database
folder = sys.argv[1]
database = Database(f"sqlite:///{folder}/radii.db")
schema_version.migrate(database.engine)
with TestClient(create_app(Settings(data=folder, min_free=0), database), base_url="http://127.0.0.1") as client:
    answers = [
        client.get("/v1/jobs/unknown"), client.get("/nowhere"), client.post("/v1/jobs", json={"kind": "certify"}),
        client.post("/v1/jobs", content=b"{", headers={"Content-Type": "text/plain"}),
        client.get("/v1/methods"), client.get("/openapi.json"), client.get("/jobs"),
    ]
print(json.dumps([[a.status_code, a.json().get("title") if a.status_code >= 400 else None] for a in answers]))
"""


def run(code: str, *arguments: str, flag: str = "-OO") -> object:
    """What a program prints, as JSON, with docstrings and assertions removed."""
    made = subprocess.run([sys.executable, flag, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout.splitlines()[-1])


def test_every_error_has_its_title_without_docstrings() -> None:
    plain, bare = run(TITLES, flag="-q"), run(TITLES)
    assert isinstance(plain, dict) and isinstance(bare, dict)
    assert bare["optimized"] == 2 and plain["optimized"] == 0
    assert len(bare["errors"]) > 30
    assert bare["errors"] == plain["errors"]
    assert bare["titles"] == plain["titles"]
    assert all(title.endswith(".") for title in bare["titles"].values())
    assert bare["errors"]["InvalidDataset"]["detail"] == "The data set cannot be read: expected a, got b."


def test_the_service_answers_problems_without_docstrings(tmp_path: object) -> None:
    assert run(SERVICE, str(tmp_path)) == [
        [404, "There is nothing here."],
        [404, "There is nothing here."],
        [422, "The request is not valid."],
        [415, "The body has a form that is not taken here."],
        [200, None],
        [200, None],
        [200, None],
    ]


def test_no_assertion_does_anything_that_must_be_done() -> None:
    """``python -O`` removes assertions, and what they would do with them."""
    for folder in ("rs_core", "service", "worker", "migrations"):
        for path in (path for path in (ROOT / folder).rglob("*.py") if "third_party" not in path.parts):
            asserted = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
            for part in (part for node in asserted for part in ast.walk(node.test)):
                calls = isinstance(part, ast.Call) and ast.unparse(part.func) != "isinstance"
                assert not calls and not isinstance(part, ast.NamedExpr | ast.Await), f"{path}: {ast.unparse(part)}"


def test_a_class_without_a_title_has_that_of_its_parent() -> None:
    class Special(InvalidDataset):
        pass

    assert Special(expected="a", got="b").title == InvalidDataset.title != RadiiError.title


def test_what_an_error_repeats_is_cut_and_can_be_stored() -> None:
    error = InvalidDataset(expected="x" * 10**6, got="\ud800\0" + "y" * 10**6, where="z" * 10**6)
    for problem in (error.problem(), RadiiError.from_problem(error.problem() | {"got": "y" * 10**6}).problem()):
        assert len(json.dumps(problem)) < 10_000
        json.dumps(problem, ensure_ascii=False).encode()
        assert "\\u0000" not in json.dumps(problem)
    assert error.got.startswith("\\ud800\\x00yyy")
