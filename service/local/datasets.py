"""The dataset that a command line names, and what a person should hear about how it was read."""

from typing import TYPE_CHECKING

from radii.service.console import note

if TYPE_CHECKING:
    from radii.rs_core.data.dataset import Dataset


def loaded(reference: str) -> "Dataset":
    """The dataset, with a note on the entries of its archive that were skipped."""
    from radii.rs_core.data.load import load

    data = load(reference)
    if data.skipped is not None:
        note(data.skipped.text)
    return data
