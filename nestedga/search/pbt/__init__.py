"""Population based training, its variants, and the replay of a schedule that was found."""

from nestedga.search.pbt.pbt import PBT, AsynchronousPBT

__all__ = ["PBT", "AsynchronousPBT"]
