"""Every regular expression that can meet text from outside takes time linear in the length of that text.

The table names all regular expressions of the product. One that is new is not in the table, and the first test fails until
it is added, with the text that would be the worst for it.
"""

import ast
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter

import radii
from radii.rs_core import exception_text, safetensors_header
from radii.rs_core.checkpoints.checkpoint_info import CheckpointInfo
from radii.rs_core.data import ignored_files, load
from radii.rs_core.errors import RadiiError
from radii.rs_core.models import plugins
from radii.rs_core.results import tsv_reader
from radii.rs_core.specs import composition, validation_errors
from radii.service import lookup
from radii.service.api import dependencies, upload_stream
from radii.service.api.routes import blobs as blob_routes
from radii.service.api.routes import uploads
from radii.service.limits import request_bodies
from radii.service.schemas import requests
from radii.worker.processes import child_output

ROOT = Path(radii.__file__).parent
FUNCTIONS = ("compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer")
MIB = 2**20
MOST = 100
"""Times as long as a plain pass over the same characters. Linear ones need 0.01 to 3; a quadratic one, at 64 KiB, needs
thousands."""


def expressions(tree: ast.AST) -> Iterator[str]:
    """The source of each regular expression: first argument of ``re`` functions, and ``pattern=`` of fields."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        of_re = isinstance(called, ast.Attribute) and ast.unparse(called.value) == "re"
        if of_re and called.attr in FUNCTIONS:
            yield ast.unparse(node.args[0])
        yield from (ast.unparse(word.value) for word in node.keywords if word.arg in ("pattern", "regex"))


def found() -> set[str]:
    """``module: expression`` of all."""
    return {
        f"{path.relative_to(ROOT)}: {text}"
        for folder in ("rs_core", "service", "worker")
        for path in (ROOT / folder).rglob("*.py")
        for text in expressions(ast.parse(path.read_text()))
    }


def field(of: Any) -> Callable[[str], object]:
    """Validation of a text by a field's type."""
    return TypeAdapter(of).validate_python


def located(item: str) -> Callable[[str], object]:
    """pydantic's message as a phrase."""
    return lambda text: validation_errors._phrase(item.format(text), [], None)


def cell(column: str) -> Callable[[str], object]:
    """A field of a results file, without the bound on its length."""
    return tsv_reader._GRAMMAR[column][0].fullmatch


def info(**fields: object) -> object:
    """A checkpoint's record with these fields."""
    return TypeAdapter(CheckpointInfo).validate_python(fields)


DIGITS, LETTERS, BLANKS = ("1", "x"), ("a", "!"), (" ", "x")
Row = tuple[Callable[[str], object], list[tuple[str, str]]]
"""What meets the text, and its worst cases: what is repeated, and what follows in the end."""
UPLOAD: Callable[[str], object] = TypeAdapter(requests.UploadRequest).validate_python
CAUSE_SOURCES = [*(pattern.pattern for pattern in exception_text.BOILERPLATE), exception_text.INTERNAL.pattern]
CAUSES = [
    ('INTERNAL ASSERT FAILED at "', ""),
    ("Please file an issue", ""),
    ("report a bug ", ""),
    ("Exception raised from", "\n"),
    ("\n", ""),
]


def cause(text: str) -> object:
    """The first line of an error."""
    return exception_text.cause_of(RuntimeError(text))


TABLE: dict[str, Row] = {
    **{f"rs_core/exception_text.py: {source!r}": (cause, CAUSES) for source in CAUSE_SOURCES},
    "rs_core/checkpoints/checkpoint_info.py: '^[0-9a-f]{64}$'": (
        lambda t: info(file_sha256=t),
        [("a", "!"), ("0", "")],
    ),
    "rs_core/specs/composition.py: f\"({'|'.join(PARTS)})(\\\\(.*)?\"": (
        composition.COMPOSITE.fullmatch,
        [("mixed(", ""), ("ensemble", "("), ("(", "\n")],
    ),
    "rs_core/data/ignored_files.py: '[/\\\\\\\\]'": (ignored_files.is_clutter, [("/", ""), ("a\\", ""), ("./", "")]),
    "rs_core/data/formats/image_folders.py: '[/\\\\\\\\]|[A-Za-z]:'": (
        lambda t: re.match(r"[/\\]|[A-Za-z]:", t),
        [("a", ":"), ("/", ""), ("C:", "")],
    ),
    "rs_core/data/formats/image_folders.py: '[/\\\\\\\\]'": (
        lambda t: re.split(r"[/\\]", t),
        [("/", ""), ("..\\", ""), ("a", "")],
    ),
    "rs_core/data/load.py: '(?P<path>.+)@(?P<resize>[1-9]\\\\d{0,3})?(?:/(?P<crop>[1-9]\\\\d{0,3}))?'": (
        load.FRAMED.fullmatch,
        [("@", "x"), ("@1/1", "x"), ("@1234/1234", "@"), ("a", "")],
    ),
    "rs_core/models/plugins.py: '[A-Za-z0-9][A-Za-z0-9_.-]{0,99}'": (plugins.NAME.fullmatch, [LETTERS]),
    "rs_core/models/plugins.py: '^[A-Za-z_][\\\\w.]*:[A-Za-z_]\\\\w*$'": (
        lambda t: plugins._ROW.validate_python({"builder": t, "description": "d"}),
        [("a.", ":"), ("a:", ""), ("_", "!")],
    ),
    "rs_core/checkpoints/torch_file.py: '[/\\\\\\\\]'": (lambda t: re.split(r"[/\\]", t), [("/", ""), ("\\", "")]),
    "rs_core/checkpoints/torch_file.py: 'GLOBAL (\\\\S+) whose module (\\\\S+) is blocked'": (
        lambda t: re.search(r"GLOBAL (\S+) whose module (\S+) is blocked", t),
        [("GLOBAL ", ""), ("GLOBAL a whose module ", ""), ("GLOBAL a whose module b", ""), ("GLOBALa", " ")],
    ),
    "rs_core/checkpoints/torch_file.py: 'GLOBAL (\\\\S+) was not an allowed global'": (
        lambda t: re.search(r"GLOBAL (\S+) was not an allowed global", t),
        [("GLOBAL ", ""), ("GLOBAL a was not", ""), ("a", "GLOBAL ")],
    ),
    "rs_core/safetensors_header.py: '\\\\(os error ([0-9]{1,9})\\\\)'": (
        safetensors_header.system_error,
        [("I/O error: ", ""), ("I/O error: (os error 1", ""), ("(os error ", ""), ("I/O error: \n", "")],
    ),
    "rs_core/errors.py: '(?<!^)(?=[A-Z])'": (
        lambda t: RadiiError.from_problem({"type": t, "detail": t, "got": t, "where": t}),
        [("A", ""), (":", ""), ("a", "")],
    ),
    "rs_core/results/tsv_reader.py: _INDEX": (cell("idx"), [DIGITS]),
    "rs_core/results/tsv_reader.py: f'-1|{_INDEX}'": (cell("label"), [DIGITS, ("-1", "")]),
    "rs_core/results/tsv_reader.py: _REAL": (
        cell("radius"),
        [DIGITS, ("1", "ex"), ("1.", ""), (".1", "e"), ("1e", "")],
    ),
    "rs_core/results/tsv_reader.py: f'{_CLOCK}|{_REAL}|'": (
        cell("time"),
        [DIGITS, ("1:", ""), ("1 days, ", ""), ("0", ":00:00.")],
    ),
    "rs_core/results/tsv_reader.py: '|'.join(TRUE + FALSE)": (cell("correct"), [("True", ""), ("0", "")]),
    "service/api/auth.py: '[\\\\x21-\\\\x7e]{1,200}'": (
        lambda t: re.fullmatch(r"[\x21-\x7e]{1,200}", t),
        [LETTERS, ("a", "\n")],
    ),
    "service/client/client.py: '([a-z]+)_[0-9a-f]{28}'": (
        lambda t: re.fullmatch(r"([a-z]+)_[0-9a-f]{28}", t),
        [("a", "_"), ("a", ""), ("a_", "")],
    ),
    "service/views/deleted_references.py: '(job|ds|ckpt)_[0-9a-f]{28}'": (
        lambda t: re.fullmatch(r"(job|ds|ckpt)_[0-9a-f]{28}", t),
        [("job_", ""), ("a", "_")],
    ),
    "service/cli/deletion.py: '(job|ds|ckpt|parts)_[0-9a-f]{28}'": (
        lambda t: re.fullmatch(r"(job|ds|ckpt|parts)_[0-9a-f]{28}", t),
        [("job_", ""), ("parts_", ""), ("a", "_")],
    ),
    "service/lookup.py: '[a-z]{1,10}_[0-9a-f]{28}'": (lookup.IDENTIFIER.fullmatch, [LETTERS, ("a_", "")]),
    "service/api/dependencies.py: '[0-9]{1,18}'": (dependencies.INDEX.fullmatch, [DIGITS]),
    "service/jobs/idempotency.py: HEADER_TEXT": (
        field(Annotated[str, Field(pattern=requests.HEADER_TEXT)]),
        [LETTERS, ("a", "\n")],
    ),
    **{
        f"service/limits/request_bodies.py: {path!r}": (
            lambda t: request_bodies.limit_of({"method": "PUT", "path": f"/v1/uploads/{t}"}),
            [("/", ""), ("a", "\n")],
        )
        for path in ("/v1/predictions/?", "/v1/uploads/.+")
    },
    "service/schemas/requests.py: NAME": (field(requests.Name), [LETTERS, ("a", "\n")]),
    "service/schemas/requests.py: CLASS_NAME": (
        lambda t: requests.DatasetRequest.model_validate({"name": "d", "files": ["f"], "class_names": [t, "b"]}),
        [LETTERS, ("a", "\n")],
    ),
    "service/schemas/requests.py: UPLOAD_NAME": (
        lambda t: UPLOAD({"name": t, "size": 1}),
        [(".", "/"), ("a.", "\n"), ("a", "/")],
    ),
    "service/schemas/requests.py: DIGEST": (
        lambda t: UPLOAD({"name": "a", "size": 1, "sha256": t}),
        [("a", ""), ("0", "!")],
    ),
    "service/api/routes/blobs.py: '[0-9a-f]{64}'": (blob_routes.SHA256.fullmatch, [("a", ""), ("0", "!")]),
    "service/api/routes/uploads.py: UPLOAD_NAME": (field(uploads.UploadName), [(".", "/"), ("a.", "\n"), ("a", "/")]),
    "service/api/upload_stream.py: 'sha-256\\\\s*=\\\\s*:([^:]*):'": (
        upload_stream.announced_digest,
        [("sha-256", ""), (" ", "sha-256"), ("sha-256 ", "="), ("sha-256=:", ""), ("sha-256=", ":"), BLANKS],
    ),
    **{
        f"worker/processes/child_output.py: {source}": (
            lambda t: (child_output.ABSENT.search(t), child_output.EXCEPTION.match(t)),
            [("a.", "A: "), ("A", ": x"), ("ImportError: No module named 'a", ""), ("\n", "")],
        )
        for source in (
            "\"(?:ModuleNotFoundError|ImportError): No module named '([\\\\w.]+)'\"",
            "'^(?:\\\\w+\\\\.)*[A-Z]\\\\w+: .'",
        )
    },
}
PHRASES = [
    ("Value error, expected ", ""),
    ("Input should be ", "\n"),
    (", got ", "\n"),
    (", unable to ", "\n"),
    ("Input should be a valid dictionary or object", "\n"),
    ("String should match pattern ", "\n"),
]
"""Of ``rs_core/specs/validation_errors.py``, whose expressions are applied together."""
OPERATORS = {
    "service/local/flag_checks.py: 'auto|cpu|cuda(?::\\\\d{1,3})?'": "a flag of the command line",
    "worker/store/backup/restore.py: '[0-9a-f]{64}'": "names of files in a backup",
    "worker/sandbox/converter_answer.py: '^[0-9a-f]{64}$'": "the hash that the converter answers with, in a bounded answer",
    "worker/store/database.py: 'FATAL: +database \"(.+)\" does not exist'": "what a database says when it is opened",
}
"""Those that meet only what an operator or a database writes."""


def test_the_table_names_every_regular_expression() -> None:
    phrases = {name for name in found() if name.startswith("rs_core/specs/validation_errors.py")}
    assert len(phrases) == len(validation_errors._PHRASES)
    assert found() - phrases == TABLE.keys() | OPERATORS.keys()


def adversarial() -> Iterator[Any]:
    for name, (meet, cases) in TABLE.items():
        for repeated, end in [*cases, ("\ud7ff", ""), ("(", ")")]:
            yield pytest.param(meet, repeated, end, id=f"{name} {repeated!r} {end!r}")
    for repeated, end in PHRASES:
        yield pytest.param(located("Input should be {}"), repeated, end, id=f"phrase {repeated!r} {end!r}")
        yield pytest.param(located("{}"), repeated, end, id=f"message {repeated!r} {end!r}")


@pytest.mark.parametrize(("meet", "repeated", "end"), adversarial())
def test_a_mebibyte_of_the_worst_text_takes_about_as_long_as_a_pass_over_it(
    meet: Callable[[str], object], repeated: str, end: str
) -> None:
    for size in (2**16, MIB):  # a quadratic one fails at the first, in seconds instead of hours
        text = repeated * (size // len(repeated)) + end
        assert _seconds(meet, text) < MOST * _seconds(_pass, text) + 0.001


def _seconds(function: Callable[[str], object], text: str) -> float:
    """Processor time of the fastest of up to three calls."""
    times = []
    for _ in range(3):
        begun = time.thread_time()
        with suppress(ValueError):  # of pydantic, and ours: the text may be refused
            function(text)
        times.append(time.thread_time() - begun)
        if times[-1] > 1:
            break
    return min(times)


def _pass(text: str) -> None:
    for _ in text:
        pass


def test_a_quadratic_expression_is_found() -> None:
    quadratic = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
    with pytest.raises(AssertionError):
        text = "1" * 2**14 + "x"  # a sixteenth of the time and of the ratio of 64 KiB
        assert _seconds(quadratic.fullmatch, text) < MOST * _seconds(_pass, text)
