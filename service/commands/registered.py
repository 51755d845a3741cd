"""The architectures of RADII_ARCHITECTURES, for commands that build networks themselves."""

from rs_core.models import table
from service.local_environment import read_settings


def use_registered() -> None:
    """Takes them in; :class:`InvalidSpec` where their file is not sound."""
    table.use(read_settings().architectures)
