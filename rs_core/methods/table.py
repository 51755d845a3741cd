"""The training methods by name, as one table that can be read; a method's module is imported when it is first used."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from rs_core.errors import UnknownMethod
from rs_core.spec import Gaussian

if TYPE_CHECKING:
    from rs_core.methods.terms import Terms


@dataclass(frozen=True, kw_only=True)
class MethodRow:
    """One method: its loss as ``module:function``, the record of its hyper-parameters, and what the loop must know.

    ``chunks(hp)`` is the number of optimiser steps that one loader batch is cut into.
    """

    name: str
    function: str
    record: type[Any]
    chunks: Callable[[Any], int]
    needs_soft_labels: bool
    reference: str


METHODS: dict[str, MethodRow] = {
    row.name: row
    for row in (
        MethodRow(
            name="gaussian",
            function="rs_core.methods.gaussian:loss",
            record=Gaussian,
            chunks=lambda hp: 1,
            needs_soft_labels=False,
            reference="Cohen et al., Certified Adversarial Robustness via Randomized Smoothing, 2019, arXiv 1902.02918",
        ),
    )
}


def method(name: str) -> MethodRow:
    """The row of that name; :class:`UnknownMethod` says which there are."""
    if name not in METHODS:
        raise UnknownMethod(expected=f"one of {', '.join(METHODS)}", got=repr(name)[:200], where="method")
    return METHODS[name]


def loss_function(name: str) -> "Callable[..., Terms]":
    """The method's ``loss(hp, model, x, y, step) -> Terms``."""
    module, function = method(name).function.split(":")
    return cast("Callable[..., Terms]", getattr(import_module(module), function))
