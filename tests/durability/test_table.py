"""The page of figures shows the newest of each proof, and what was not held."""

from typing import Any

from tests_support.durability.table import page


def _line(form: str, day: int, **scenarios: Any) -> dict[str, Any]:
    return {"when": f"2026-01-0{day}T00:00:00+00:00", "machine": "two cores", "form": form, "scenarios": scenarios}


def _figures(passed: bool, **more: Any) -> dict[str, Any]:
    return {"what": "", "lost": 0, "doubled": 0, "passed": passed, "seconds": 7.4} | more


def test_the_newest_figures_of_a_proof_are_shown_in_the_order_of_their_numbers() -> None:
    first = _line("whole", 1, **{"10": _figures(True, jobs=2), "2": _figures(True, freezes=20)})
    text = page([first, _line("whole", 2, **{"10": _figures(False, jobs=3)})])
    assert text.index("**2. frozen past the lease**") < text.index("**10. one Idempotency-Key**")
    assert "NOT held.\nlost 0, doubled 0; jobs 3. 7 s on two cores, 2026-01-02." in text and "jobs 2" not in text
    assert "Intervals as shipped" not in text and "Without a guard" not in text


def test_forms_and_guards_have_chapters_of_their_own() -> None:
    noticed = {"noticed": True, "lost": 12, "passed": False, "seconds": 1.0}
    text = page(
        [_line("shipped", 1, **{"1": _figures(True)}), {"form": "mutations", "without": {"housekeeping": noticed}}]
    )
    assert "## Short intervals" not in text
    assert (
        text.index("## Intervals as shipped")
        < text.index("**1. kill -9")
        < text.index("- housekeeping: noticed: lost 12.")
    )
    assert "- wakeup: not run." in text
