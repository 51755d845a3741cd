"""The garbage collector of a process that answers requests: its full rounds must be rare."""

import gc

GC_THRESHOLDS = 2_000, 10, 100
"""New objects before a collection, and collections of one generation before one of the next older. A full collection takes up to
0.1 s. With Python's own thresholds there is one every few seconds under load."""


def freeze_loaded_objects() -> None:
    """Exempts everything that is loaded from garbage collection, and makes full collections rare.

    A full collection would go through all loaded modules and delay every request by some tenths of a second. Few cycles of
    objects live longer than a request.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
