"""The architectures of RADII_ARCHITECTURES, for commands that build networks themselves."""

from radii.rs_core.models import registry
from radii.service.local.environment import read_settings


def use_registered() -> None:
    """Takes them in; :class:`InvalidSpec` where their file is not sound."""
    registry.use(read_settings().architectures)
