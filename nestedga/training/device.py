"""Where a rank computes."""

from __future__ import annotations

import torch

from nestedga.errors import SettingError


def pick_device(wanted: str, node_rank: int) -> torch.device:
    """The device of this rank.

    Args:
        wanted: ``cpu``, ``cuda`` or ``auto`` (cuda where torch has it).
        node_rank: position among all ranks of the node, so that groups on one node do not meet on device 0. Where there
            are more ranks than devices, they share.

    Raises:
        SettingError: ``cuda`` where there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SettingError("training.device=cuda, but torch sees no GPU here; use auto or cpu")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", node_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    torch.backends.cudnn.deterministic = True  # a member trained again after a crash should come out the same
    return device


def hardware_of(device: torch.device) -> str:
    """Which one of a node it is: where a rank sees one GPU alone, each is ``cuda:0``, and NCCL goes by their place."""
    if device.type == "cpu":
        return "cpu"
    properties = torch.cuda.get_device_properties(device)
    where = (
        getattr(properties, f"pci_{part}_id", device) for part in ("domain", "bus", "device")
    )  # torch 2.8 has them
    return ":".join(map(str, where))
