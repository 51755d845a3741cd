#!/usr/bin/env python3
"""Moves modules to the places that ``modules.tsv`` gives them, into the package ``radii``, and rewrites what names them.

Usage, from the top of a checkout: ``python docs/layout/move.py [--dry-run]``, then ``make format``.

A row of the table is ``old path <tab> new path``. The script moves files that are still at an old path (``git mv``) and rewrites
imports, ``module:function`` and ``-m`` strings, and paths, in code, tests, configuration and documentation. It changes only old
names, so it can be run again, for example on a branch that was begun before the move. It prints what it cannot decide; read
those lines.
"""

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import defaultdict
from pathlib import Path

TOP = ("rs_core", "worker", "service", "migrations")
TABLE = Path(__file__).with_name("modules.tsv")
TEXT = (".md", ".toml", ".yml", ".yaml", ".sh", ".cfg", ".ini", ".mako", ".html", ".Dockerfile", ".tsv")
NAMED = ("Makefile", "run", ".dockerignore", ".gitignore")
DOTTED = re.compile(r"(?<![\w./-])((?:rs_core|worker|service|migrations)(?:\.[A-Za-z_0-9]+)+)")
SLASHED = re.compile(r"(?<![\w./-])((?:rs_core|worker|service|migrations|tests)(?:/[A-Za-z_0-9.-]+)+/?)")


def module_of(path: str) -> str:
    """The dotted name of the module in a file."""
    return path.removesuffix(".py").removesuffix("/__init__").removesuffix("/__main__").replace("/", ".")


class Move:
    """The table, as questions about names."""

    def __init__(self, table: dict[str, str], files: list[str]) -> None:
        self.paths = table
        known = {path for path in (*files, *table, *table.values()) if path.endswith(".py") and path.startswith(TOP)}
        moved = {module_of(old): module_of(new) for old, new in table.items() if old.startswith(TOP)}
        self.modules = {module_of(path): module_of(path) for path in known - set(table)} | moved
        for name in list(self.modules):  # packages without an __init__.py of their own in the table
            while "." in name:
                name = name.rpartition(".")[0]
                self.modules.setdefault(name, name)
        self.notes: list[str] = []

    def new(self, module: str) -> str:
        """The present name of a module that was known by ``module``."""
        return f"radii.{self.modules[module]}"

    def dotted(self, name: str) -> str | None:
        """A dotted name with what it says of a module brought up to date; None where its beginning is no module of ours."""
        parts = name.split(".")
        for count in range(len(parts), 1, -1):
            head = ".".join(parts[:count])
            if head in self.modules:
                return ".".join([self.new(head), *parts[count:]])
        return None

    def slashed(self, path: str) -> str:
        """A path brought up to date. A folder is renamed where all of its files have gone to one other folder."""
        if not path.endswith("/"):
            bare = path.rstrip(".")
            for suffix in ("", ".py"):
                if bare + suffix in self.paths:
                    return self.paths[bare + suffix].removesuffix(suffix) + path[len(bare) :]
            return path
        gone = [(old.removeprefix(path), new) for old, new in self.paths.items() if old.startswith(path)]
        homes = {new.removesuffix(name) if new.endswith(f"/{name}") else "" for name, new in gone}
        return homes.pop() if len(homes) == 1 and "" not in homes else path


def rewrite_text(text: str, move: Move, *, braces: bool = False) -> str:
    """Dotted names and paths in prose or a string; in an f-string, code inside braces is left alone."""

    def dotted(found: re.Match[str]) -> str:
        if (
            braces
            and text[: found.start()].rstrip("( ").endswith(("{", "(", ",", "="))
            and "{" in text[: found.start()]
        ):
            return found[0]
        return move.dotted(found[1]) or found[0]

    return SLASHED.sub(lambda found: move.slashed(found[1]), DOTTED.sub(dotted, text))


def imports_of(tree: ast.Module, move: Move, path: str) -> tuple[list[tuple[int, int, str]], dict[str, str], set[str]]:
    """Replacements of import statements (first line, last line, text), names that the file's code uses for modules that have
    another last name now, and the other names that these statements bind."""
    replaced, renamed, others = [], {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            if node.module.split(".")[0] not in TOP:
                continue
            groups: dict[str, list[str]] = defaultdict(list)
            for name in node.names:
                full = f"{node.module}.{name.name}"
                if full in move.modules:
                    parent, _, leaf = move.new(full).rpartition(".")
                    if name.asname is None and leaf != name.name:
                        renamed[name.name] = leaf
                        leaf += f"<{name.name}>"  # becomes an alias where the new name cannot be used
                    else:
                        others.add(name.asname or leaf)
                    alias = f" as {name.asname}" if name.asname not in (None, leaf) else ""
                    groups[parent].append(leaf + alias)
                else:
                    alias = f" as {name.asname}" if name.asname is not None else ""
                    groups[move.new(node.module)].append(name.name + alias)
                    others.add(name.asname or name.name)
            lines = [f"from {module} import {', '.join(names)}" for module, names in groups.items()]
            replaced.append((node.lineno, node.end_lineno or node.lineno, "\n".join(lines)))
        elif isinstance(node, ast.Import) and any(name.name.split(".")[0] in TOP for name in node.names):
            lines = []
            for name in node.names:
                if name.name.split(".")[0] not in TOP:
                    lines.append(f"import {name.name}" + (f" as {name.asname}" if name.asname else ""))
                elif name.name in TOP:
                    lines.append(f"from radii import {name.name}" + (f" as {name.asname}" if name.asname else ""))
                else:
                    lines.append(f"import {move.new(name.name)}" + (f" as {name.asname}" if name.asname else ""))
                    if name.asname is None:
                        move.notes.append(f"{path}:{node.lineno}: import {name.name}: read what uses it")
            replaced.append((node.lineno, node.end_lineno or node.lineno, "\n".join(lines)))
    return replaced, renamed, others


def bound(tree: ast.Module, name: str) -> bool:
    """Whether a file gives ``name`` a meaning other than by an import of ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
            return True
        if isinstance(node, ast.arg) and node.arg == name:
            return True
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.ExceptHandler) and node.name == name:
            return True
        if isinstance(node, ast.Import | ast.ImportFrom) and any(
            (alias.asname or alias.name) == name for alias in node.names
        ):
            return True
    return False


def rewrite_python(source: str, move: Move, path: str) -> str:
    """One Python file with present names."""
    tree = ast.parse(source)
    replaced, renamed, others = imports_of(tree, move, path)
    kept = {
        old
        for old, new in renamed.items()
        if any(bound(ast.parse(_without(source, replaced)), name) for name in (old, new))
    }
    taken = [new for new in renamed.values()]
    kept |= {old for old, new in renamed.items() if taken.count(new) > 1 or new in renamed or new in others}
    for old in sorted(kept):
        move.notes.append(f"{path}: {renamed[old]} stays known as {old}: one of the names has another meaning there")
    lines = source.splitlines(keepends=True)
    inside = {line for first, last, _ in replaced for line in range(first, last + 1)}
    edits = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.start[0] in inside:
            continue
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            start = token.string[:3].lower()
            formatted = token.type == tokenize.STRING and "f" in start.split("'")[0].split('"')[0]
            text = rewrite_text(token.string, move, braces=formatted)
            if formatted:
                for old, new in renamed.items():
                    if old not in kept:
                        text = re.sub(rf"(?<=[{{(\s,=\[])(?<!\w){old}(?=\.[a-zA-Z_])", new, text)
            elif token.type == tokenize.STRING and re.fullmatch(
                r"""["'][A-Za-z_][\w.\[\], |]*["']""", text
            ):  # an annotation
                for old, new in renamed.items():
                    if old not in kept:
                        text = re.sub(rf"(?<![\w.]){old}(?=\.[A-Z])", new, text)
            if text != token.string:
                edits.append((token.start, token.end, text))
        elif token.type == tokenize.NAME and token.string in renamed and token.string not in kept:
            before = lines[token.start[0] - 1][: token.start[1]].rstrip()
            if before.endswith(".") and not before.endswith("..."):
                continue
            after = lines[token.end[0] - 1][token.end[1] :]
            if (re.match(r"\s*=(?!=)", after) and before.endswith(("(", ","))) or (
                re.match(r"\s*=(?!=)", after) and before == ""
            ):
                continue  # a keyword argument
            edits.append((token.start, token.end, renamed[token.string]))
    for (row, column), (last, end), text in sorted(edits, reverse=True):
        if row == last:
            line = lines[row - 1]
            lines[row - 1] = line[:column] + text + line[end:]
        else:
            first, final = lines[row - 1], lines[last - 1]
            lines[row - 1 : last] = [first[:column] + text + final[end:]]
            lines[row:row] = [""] * (last - row)
    for first, last, text in sorted(replaced, reverse=True):
        indent = re.match(r"\s*", lines[first - 1])[0]
        old = "".join(lines[first - 1 : last])
        comment = re.search(r"#.*$", old.rstrip("\n"), re.MULTILINE)
        text = re.sub(r"<(\w+)>", lambda found: f" as {found[1]}" if found[1] in kept else "", text)
        new = "\n".join(indent + line for line in text.split("\n"))
        if comment is not None:
            new += f"  {comment[0]}"
        if old.strip() != new.strip():
            lines[first - 1 : last] = [new + "\n", *[""] * (last - first)]
    return "".join(lines)


def _without(source: str, replaced: list[tuple[int, int, str]]) -> str:
    """The source with import statements of ours emptied."""
    lines = source.splitlines()
    for first, last, _ in replaced:
        indent = re.match(r"\s*", lines[first - 1])[0]
        lines[first - 1 : last] = [f"{indent}pass", *[""] * (last - first)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Moves and rewrites; see the module."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--dry-run", action="store_true", help="change nothing, and say what would be changed")
    given = asked.parse_args()
    rows = [line.split("\t") for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=True
    )
    files = [
        path
        for path in listed.stdout.splitlines()
        if Path(path).exists() and not Path(path).is_symlink() and not path.startswith("docs/layout/")
    ]
    move = Move({old: new for old, new in rows if old != new}, files)
    for old, new in rows:
        if old != new and old in files:
            print(f"{old} -> {new}")
            if not given.dry_run:
                Path(new).parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["git", "mv", old, new], check=True)
                files[files.index(old)] = new
    for folder in sorted(
        {str(parent) for _, new in rows if new.startswith(TOP) for parent in Path(new).parents if str(parent) != "."}
    ):
        init = Path(folder, "__init__.py")
        if not init.exists() and not given.dry_run:
            init.touch()
            print(f"made: {init}")
    for path in files:
        if path.startswith("benchmarks/results/") or path.startswith("radii/"):
            continue
        python = path.endswith(".py")
        if not python and not path.endswith(TEXT) and Path(path).name not in NAMED:
            continue
        before = Path(path).read_text(encoding="utf-8")
        try:
            after = rewrite_python(before, move, path) if python else rewrite_text(before, move)
        except SyntaxError as error:
            move.notes.append(f"{path}: not rewritten: {error}")
            continue
        if after != before:
            print(f"rewritten: {path}")
            if not given.dry_run:
                Path(path).write_text(after, encoding="utf-8")
    print("\n".join(["", "To be read:", *move.notes]) if move.notes else "", file=sys.stderr)


if __name__ == "__main__":
    main()
