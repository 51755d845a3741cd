"""Nothing is imported from the working directory, by no process of radii and by none that those start."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests_support import pictures, processes, servers

import radii
from radii.worker.child.handle import Child
from radii.worker.embedded import EmbeddedWorkers
from radii.worker.processes import launch
from radii.worker.processes.bootstrap import PACKAGE
from radii.worker.sandbox import converter
from radii.worker.sandbox.decoder_client import Decoder
from radii.worker.settings import Settings
from radii.worker.settings_environment import variables
from radii.worker.store import schema_version
from radii.worker.store.database import Database
from radii.worker.store.models.tables import Worker

ROOT = Path(radii.__file__).parents[1]
FOLDERS = ("rs_core", "service", "worker", "migrations")
OTHERS = (
    "numpy",
    "torch",
    "PIL",
    "safetensors",
    "pydantic",
    "sqlalchemy",
    "celery",
    "celeryconfig",
    "redis",
    "sitecustomize",
)
WITNESS = (
    "import os\nopen({path!r}, 'a').write(__name__ + '\\n')\nraise SystemExit('imported from the working directory')\n"
)


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a file for every module of the standard library, of radii and of what it uses; none of them
    has been imported in the end."""
    folder, witness = tmp_path / "hostile", tmp_path / "witness"
    folder.mkdir()
    for name in {*sys.stdlib_module_names, PACKAGE, *FOLDERS, *OTHERS, "usercustomize"}:
        (folder / f"{name}.py").write_text(WITNESS.format(path=str(witness)))
    for name in (PACKAGE, *FOLDERS):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(WITNESS.format(path=str(witness)))
    monkeypatch.chdir(folder)
    yield folder
    assert not witness.exists(), witness.read_text()


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "images.npz"
    with path.open("wb") as file:
        np.savez(file, images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 1, 1, 0]))
    return path


def _count(settings: Settings) -> int:
    database = Database(settings.url)
    with database.read() as session:
        found = session.query(Worker).count()
    database.close()
    return found


def _migrated(settings: Settings) -> Settings:
    database = Database(settings.url)
    schema_version.migrate(database.engine)
    database.close()
    return settings


def test_the_converter_and_the_decoder_import_nothing_from_there(hostile: Path, tmp_path: Path, npz: Path) -> None:
    request = {"what": "dataset", "files": {"mine.npz": str(npz)}, "out": str(tmp_path / "out")}
    assert converter.convert(request, seconds=60, memory=2**34)["columns"]["count"] == 4
    decoder = Decoder()
    try:
        assert decoder.decode(pictures.png(pictures.RAMP), shape=(1, 8, 8), most=1).shape == (1, 1, 8, 8)
    finally:
        decoder.close()


@pytest.mark.parametrize("path", [None, "", ".", os.pathsep])
def test_the_child_of_a_worker_imports_nothing_from_there(
    hostile: Path, tmp_path: Path, path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by an empty or relative entry of PYTHONPATH either, which names the working directory, too."""
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path)
    child = Child(Settings(data=tmp_path / "data", device="cpu"))
    try:
        message = child.receive(120)
        assert message is not None and message["type"] == "ready"
    finally:
        child.end()


def test_local_workers_import_nothing_from_there(hostile: Path, tmp_path: Path) -> None:
    settings = _migrated(Settings(data=tmp_path / "data", poll=0.05, housekeeping_seconds=0.5, threads=1, device="cpu"))
    with EmbeddedWorkers(settings):
        processes.until(lambda: _count(settings) == 1, 60, "a worker")


def test_a_worker_that_celery_runs_imports_nothing_from_there(hostile: Path, tmp_path: Path, redis_url: str) -> None:
    settings = Settings(
        data=tmp_path / "data",
        broker_url=redis_url,
        queue=f"hostile-{os.getpid()}",
        device="cpu",
        housekeeping_seconds=0.5,
        threads=1,
    )
    _migrated(settings)
    command = launch.command("radii.worker.celery_worker", starts_python=True)
    given = launch.environment(os.environ | variables(settings))
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env=given, stderr=log)
    try:
        processes.until(lambda: _count(settings) == 1 or process.poll() is not None, 60, "a worker")
        assert process.poll() is None, (tmp_path / "log").read_text()
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_the_command_serves_from_there(hostile: Path, tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "radii"
    if not script.exists():
        pytest.skip("radii is not installed as a command here: its start from a hostile folder was NOT tested")
    port = servers.free_port()
    variables = os.environ | {"RADII_DATA": str(tmp_path / "data"), "RADII_DEVICE": "cpu", "RADII_POLL": "0.1"}
    process = subprocess.Popen(
        [sys.executable, "-P", str(script), "up", "--port", str(port)], env=variables, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert "listening" in process.stdout.readline()
        settings = Settings(data=tmp_path / "data")
        processes.until(lambda: _count(settings) >= 2, 90, "the service and its worker")
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0


def test_processes_that_a_child_starts_are_safe_too(hostile: Path) -> None:
    """Loader processes come from a server that multiprocessing starts by ``python -c``."""
    code = (
        "import sys; sys.path[:] = [e for e in sys.path if e]\n"
        "from radii.worker.processes import launch; launch.protect()\n"
        "import subprocess; print(subprocess.run([sys.executable, '-c', 'import sys; print(sys.path[0] == str())'],"
        " capture_output=True, text=True).stdout.strip())"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_a_plain_tree_that_is_only_on_the_path_works(tmp_path: Path, npz: Path) -> None:
    """No installation, no editable link: the tree is where PYTHONPATH says, and the converter's environment is empty."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / PACKAGE).symlink_to(ROOT / PACKAGE)
    code = (
        "import sys; sys.path[:] = [e for e in sys.path if e and e != {root!r}]\n"
        "import radii; assert radii.__file__.startswith({tree!r}), radii.__file__\n"
        "from radii.worker.sandbox import converter\n"
        "request = {{'what': 'dataset', 'files': {{'mine.npz': {npz!r}}}, 'out': {out!r}}}\n"
        "print(converter.convert(request, seconds=60, memory=2**34)['columns']['count'])"
    ).format(root=str(ROOT), tree=str(tree), npz=str(npz), out=str(tmp_path / "out"))
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=os.environ | {"PYTHONPATH": str(tree)}, capture_output=True, text=True
    )
    assert done.stdout == "4\n", done.stderr


def test_a_path_of_the_operator_is_kept_and_the_working_directory_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    given = os.pathsep.join(["", "/opt/mine", ".", "lib"])
    kept = launch.environment({"PYTHONPATH": given, "A": "b"})
    assert kept == {"A": "b", "PYTHONSAFEPATH": "1", "PYTHONPATH": f"/opt/mine{os.pathsep}{os.path.abspath('lib')}"}
    assert launch.environment({"PYTHONPATH": "."}) == {"PYTHONSAFEPATH": "1"}


def test_celery_does_not_put_the_working_directory_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so itself while it imports loaders and configurations."""
    (tmp_path / "only_here.py").write_text("")
    monkeypatch.chdir(tmp_path)
    code = (
        "import sys; sys.path[:] = [e for e in sys.path if e]\n"
        "from radii.worker.queue import broker; from celery.utils.imports import import_from_cwd\n"
        "import_from_cwd('only_here')"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert "No module named 'only_here'" in done.stderr


def test_the_packages_are_the_parents_whatever_else_has_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other distributions have packages of these names, too, and an operator's PYTHONPATH goes before what is installed."""
    for name in (PACKAGE, *FOLDERS):
        (tmp_path / "theirs" / name).mkdir(parents=True)
        (tmp_path / "theirs" / name / "__init__.py").write_text("raise SystemExit('another package')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "theirs"))
    child = Child(Settings(data=tmp_path / "data", device="cpu"))
    try:
        message = child.receive(120)
        assert message is not None and message["type"] == "ready"
    finally:
        child.end()


def test_the_folder_of_the_script_is_not_on_the_path_either() -> None:
    """Its modules have names such as ``settings`` and ``process``, which a library may look for."""
    assert launch.command("radii.worker.child")[1] == "-P"


def test_radii_starts_processes_when_its_working_directory_has_been_deleted(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
        "from radii.worker import embedded\nfrom radii.worker.child import handle\n"
        "from radii.worker.processes import launch\n"
        "launch.protect(); launch.environment({'PYTHONPATH': 'relative'}); print(handle.COMMAND[0] == sys.executable)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
