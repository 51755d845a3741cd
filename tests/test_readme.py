"""The shell examples: they parse, and use nothing that Ubuntu 22.04 or macOS lacks."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests_support.live import running
from typer.main import get_command
from typer.testing import CliRunner

import radii
from radii.service.api.app import create_app
from radii.service.cli.main import app
from radii.worker.settings import Settings

ROOT = Path(__file__).parents[1]
PACKAGE = Path(radii.__file__).parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
LACKING = {
    r"curl\b[^\n|]*--json": "curl has it since 7.82; use -H and -d",
    r"\bgrep\s+-\w*P": "only GNU grep has it; use sed",
    r"\bstat\s+-c": "only GNU stat has it; use wc -c",
    r"\bsha(256|512|1)sum\b|\bmd5sum\b": "macOS has none; use openssl dgst -r",
    r"<<<|&>|\$\{\w+\^\^|\bmapfile\b|\breadarray\b|declare -A": "only newer shells have it",
    r"\bstatus=none": "not every dd has it",
    r"\bsed\s+-\w*[ir]\b|\breadlink\s+-f|\bdate\s+-d|\bxargs\s+-\w*[rd]\b|\bbase64\s+-w|\bhead\s+-n\s+-": "GNU only",
    r"(?m)^[^\"'#\n]*\$url/[^\s\"']*\?": "zsh takes a question mark outside of quotes for a pattern",
}


def _lacking(text: str) -> list[str]:
    return [f"{found.group(0)!r}: {why}" for pattern, why in LACKING.items() if (found := re.search(pattern, text))]


def _texts() -> dict[str, str]:
    """Every text with commands that people copy, by where it is."""
    texts = {path.name: path.read_text() for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md")}
    texts["compose"] = (ROOT / "docker-compose.yml").read_text()
    texts |= {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "docker").iterdir() if path.is_file()}
    texts |= {
        str(path.relative_to(PACKAGE)): path.read_text()
        for path in (PACKAGE / "service" / "views" / "templates").rglob("*.html")
    }
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        texts[f"radii {name} --help"] = CliRunner().invoke(app, [name, "--help"]).output
    return texts


def test_examples_use_nothing_that_an_older_or_another_system_lacks() -> None:
    assert {where: found for where, text in _texts().items() if (found := _lacking(text))} == {}


def test_the_api_document_shows_nothing_else(tmp_path: Path) -> None:
    text = json.dumps(create_app(Settings(data=tmp_path)).openapi())
    assert _lacking(text.replace("\\n", "\n")) == []


@pytest.mark.parametrize(
    "example",
    [
        "curl $url/jobs --json '{}'",
        "grep -oP a",
        "stat -c %s f",
        "sha256sum f",
        "cat <<< a",
        "dd status=none",
        "a $url/jobs?x=1",
    ],
)
def test_what_is_lacking_is_found(example: str) -> None:
    assert len(_lacking(example)) == 1


@pytest.mark.parametrize("shell", ["bash", "dash", "zsh"])
def test_every_example_parses(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    for block in BLOCKS:
        done = subprocess.run([shell, "-n"], input=block, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), block


def test_the_first_example_and_the_upload_by_curl_work(tmp_path: Path) -> None:
    """Against a real service, as far as they need no worker; the file goes in two parts."""

    if shutil.which("curl") is None or shutil.which("openssl") is None:
        pytest.skip("curl or openssl is not installed")
    first = next(block for block in BLOCKS if "wait_for()" in block).split("wait_for datasets")[0]
    (by_parts,) = [block for block in BLOCKS if "/parts/" in block]
    (tmp_path / "photos.zip").write_bytes(b"\xff\0\n" * 6 * 2**20)
    with running(tmp_path / "data", "--workers", "0") as (address, _):
        for block, wanted in ((first + 'echo "$ds"', r"ds_[0-9a-f]{28}"), (by_parts, r'"name":"photos.zip"')):
            script = block.replace("http://127.0.0.1:8000", address)
            done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert re.search(wanted, done.stdout), (script, done.stdout, done.stderr)
