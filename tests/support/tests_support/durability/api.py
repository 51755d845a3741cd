"""The service of a proof: ``python -m tests_support.durability.api up ...``.

It is the real one, but for what these variables say: ``PROOF_WITHOUT=wakeup`` takes a guard out, as in ``worker``;
``PROOF_CORES=2`` gives it so many of the machine's cores.
"""

import os

from radii.service.cli import main as cli
from tests_support.durability.worker import without


def main() -> None:
    """Arranges what is asked for, and becomes the service."""
    if cores := os.environ.get("PROOF_CORES"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
    without(os.environ.get("PROOF_WITHOUT", ""))
    cli.main()


if __name__ == "__main__":
    main()
