"""Suggests names close to a misspelt ``dataset/method/sigma``."""

import difflib
from collections.abc import Sequence


def choice(name: str, known: Sequence[str]) -> str:
    """What is among ``known`` in place of ``name``: as far as it is right, the next part of it."""
    dataset, _, rest = name.partition("/")
    of_dataset = [one for one in known if one.startswith(f"{dataset}/")]
    if not of_dataset:
        datasets = dict.fromkeys(one.split("/")[0] for one in known)
        return f"dataset/method/sigma, with a data set out of {', '.join(datasets)}"
    method = rest.partition("/")[0]
    of_method = [one for one in of_dataset if one.startswith(f"{dataset}/{method}/")]
    if not of_method:
        methods = dict.fromkeys(one.split("/")[1] for one in of_dataset)
        return f"{dataset}/method/sigma, with a method out of {', '.join(methods)}"
    return f"one of {', '.join(of_method)}"


def nearest(name: str, known: Sequence[str]) -> tuple[str, ...]:
    """Up to five of ``known`` that look like this one, the most similar first."""
    return tuple(difflib.get_close_matches(name[:200], known, n=5))
