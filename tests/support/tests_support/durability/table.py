"""``python -m tests_support.durability.table FILE``: the newest figures of every proof in a file of results, as Markdown."""

import json
import sys
from pathlib import Path

from tests_support.durability.outcome import Figures
from tests_support.durability.proofs import MUTATIONS, PROOFS

HEAD = """# Proofs that jobs survive

```
make durability               # 1 to 14, a lease of 3 s and housekeeping every second
make durability SHIPPED=1     # with the intervals that radii comes with: a lease of 60 s, housekeeping every 10 s
make durability MUTATE=1      # without the guards: the proofs have to notice
```

Each run appends a line to `durability.jsonl`; this page is made of it by
`PYTHONPATH=tests/support .venv/bin/python -m tests_support.durability.table benchmarks/results/durability.jsonl`.
Processes are real: workers with their children, the service, Postgres, Redis. Where it applies, runs take turns between
SQLite and Postgres. Every proof also holds that no result is lost, doubled, or has other class counts than an undisturbed run.
"""
HARM = ("lost", "doubled", "differing", "unfinished")


def main() -> None:
    """Prints the page."""
    lines = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    print(page(lines), end="")


def page(lines: list[Figures]) -> str:
    """The page of these results, the oldest of which come first."""
    parts = [HEAD]
    for title, form in (("Short intervals", "whole"), ("Intervals as shipped", "shipped")):
        newest = _newest(lines, form)
        if newest:
            parts.append(
                f"\n## {title}\n" + "".join(_proof(int(number), *newest[number]) for number in sorted(newest, key=int))
            )
    unguarded = {guard: one for line in lines for guard, one in line.get("without", {}).items()}
    if unguarded:
        parts.append(
            "\n## Without a guard\n\n" + "".join(_mutation(guard, unguarded) for _, (guard, _) in MUTATIONS.items())
        )
    return "".join(parts)


def _newest(lines: list[Figures], form: str) -> dict[str, tuple[Figures, Figures]]:
    """By number, the last figures of it in this form, and the line that they are from."""
    found: dict[str, tuple[Figures, Figures]] = {}
    for line in lines:
        if line.get("form") == form:
            found |= {number: (one, line) for number, one in line["scenarios"].items()}
    return found


def _proof(number: int, figures: Figures, line: Figures) -> str:
    proof, state = PROOFS[number], "held" if figures["passed"] else "NOT held"
    shown = [f"{name} {value}" for name, value in figures.items() if name not in ("what", "passed", "seconds", *HARM)]
    harm = [f"{name} {figures[name]}" for name in HARM if name in figures]
    return (
        f"\n**{number}. {proof.what}**: {proof.held}: {state}.\n"
        f"{', '.join(harm)}; {', '.join(shown)}. {figures['seconds']:.0f} s on {line['machine']}, {line['when'][:10]}.\n"
    )


def _mutation(guard: str, unguarded: dict[str, Figures]) -> str:
    figures = unguarded.get(guard)
    if figures is None:
        return f"- {guard}: not run.\n"
    shown = ", ".join(
        f"{name} {value}" for name, value in figures.items() if name not in ("noticed", "passed", "seconds")
    )
    return f"- {guard}: {'noticed' if figures['noticed'] else 'MISSED'}: {shown}.\n"


if __name__ == "__main__":
    main()
