"""Files that a confined process can use although their folders, or they themselves, are closed to its user.

A process of root changes to another user. Where the kernel has Landlock, the process keeps the right to read root's files,
limited to a few of them. Where it has none, that right would open every file of the machine. There the process opens its
files before it is confined, and its readers find them as ``/proc/self/fd/N`` behind links with the files' names.
"""

import os
import shutil
import stat
import sys
import tempfile
from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from radii.worker.isolation import landlock


def are_needed() -> bool:
    """Whether this process is root's and the kernel has no Landlock."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    try:
        landlock.abi()
    except OSError:
        return True
    return False


def lend(link: Path, copies: Path) -> Path:
    """Opens the file that ``link`` leads to and redirects the link to the descriptor; returns the link.

    Opening ``/proc/self/fd/N`` needs the permission of the file itself, but none of the folders above it. A file that only
    root can read is therefore copied.

    Args:
        link: Symbolic link in a folder that other users can enter.
        copies: Folder with room for a copy, which has no name.
    """
    descriptor = os.open(link, os.O_RDONLY)
    if not os.fstat(descriptor).st_mode & stat.S_IROTH:
        descriptor = _copied(descriptor, copies)
    link.unlink()
    link.symlink_to(_path(descriptor))
    return link


def lend_output(path: Path) -> Path:
    """Opens the file for writing; returns a path that leads to it when its owner has changed."""
    return _path(os.open(path, os.O_RDWR))


def _path(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}")


def _copied(descriptor: int, folder: Path) -> int:
    with tempfile.TemporaryFile(dir=folder) as copy, open(descriptor, "rb") as file:
        shutil.copyfileobj(file, copy, 2**20)
        copy.flush()
        os.fchmod(copy.fileno(), 0o444)
        return os.dup(copy.fileno())


def lend_modules() -> None:
    """Lets this process import from folders below ones that are closed to its next user, such as an interpreter in root's home.

    Each entry of ``sys.path`` and each folder of an imported package becomes a path below a descriptor.
    """
    roots = {entry: _opened_folder(entry) for entry in _roots()}
    known = {root: path for root, path in sorted(roots.items(), key=lambda each: -len(each[0])) if path is not None}

    def below(path: object) -> Any:
        found = next((root for root in known if isinstance(path, str) and (path + "/").startswith(root + "/")), None)
        return path if found is None else known[found] + str(path)[len(found) :]

    sys.path[:] = [below(entry) for entry in sys.path]
    for module in list(sys.modules.values()):
        if isinstance(folders := getattr(module, "__path__", None), list):
            folders[:] = [below(each) for each in folders]
        if isinstance(file := getattr(module, "__file__", None), str):
            module.__file__ = below(file)
        loader = getattr(getattr(module, "__spec__", None), "loader", None)
        if isinstance(loader, SourceFileLoader | SourcelessFileLoader | ExtensionFileLoader):
            loader.path = below(loader.path)
    sys.path_importer_cache.clear()


def _roots() -> set[str]:
    """Folders from which this process imports, without those of other packages."""
    packages = {each for name, module in sys.modules.items() if "." not in name for each in _folders(module)}
    return {entry.rstrip("/") for entry in sys.path if os.path.isabs(entry)} | {
        os.path.dirname(each) for each in packages
    }


def _folders(module: ModuleType) -> list[str]:
    return [each for each in getattr(module, "__path__", ()) if isinstance(each, str) and os.path.isabs(each)]


def _opened_folder(path: str) -> str | None:
    try:
        return str(_path(os.open(path, os.O_PATH | os.O_DIRECTORY)))
    except OSError:
        return None
