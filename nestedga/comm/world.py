"""All ranks of the job: who each of them is for good, and where it stands now."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from nestedga.comm.epoch import Epoch
from nestedga.comm.group import Group
from nestedga.comm.mpi import duplicate
from nestedga.comm.waiting import broadcast, gather_all

if TYPE_CHECKING:
    from mpi4py import MPI

ENTER_SECONDS = 600.0  # between the first rank that enters an epoch and the last


class World:
    """All ranks, as this one sees them. Collective.

    A rank is named by its **id**, given once: the number with which it began. Where it stands now, the present epoch
    says, and that may change at any time, while threads are at work: whoever sends or receives takes the epoch from
    here, for one call.

    Args:
        comm: all ranks; belongs to the world from now on.

    Attributes:
        rank_id: of this rank.
        epoch: the present one.
        node_rank: position by id among the ranks of this node, when the rank began; the device is taken from it, and
            so it stays. (Horovod's own local rank counts within the group: two groups on a node would both begin at
            device 0.)
        node_size: ranks on this node when the rank began.
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        self.rank_id = int(comm.Get_rank())
        self.epoch = self._join(comm, before=-1)
        nodes = self.epoch.nodes
        neighbours = sorted(rank_id for rank_id in nodes if nodes[rank_id] == nodes[self.rank_id])
        self.node_rank, self.node_size = neighbours.index(self.rank_id), len(neighbours)

    def enter(self, comm: MPI.Intracomm) -> None:
        """Enters a new epoch, with the ranks of a communicator in its order. Collective over it; by any thread.

        What is under way in the epoch before is sent again by those who know that it matters, or asked for again, in
        the new one; the rest is lost with the old communicators, which nobody looks at any more. They are not freed,
        for threads may still be in a call of theirs.

        Args:
            comm: belongs to the world from now on.

        Raises:
            TimeoutError: some ranks did not come within ten minutes.
        """
        before = self.epoch
        self.epoch = self._join(comm, before.number)
        before.ended.set()

    def renew(self) -> None:
        """Enters an epoch with the same ranks in the same places. Collective; between jobs, after a good end alone.

        What was still under way is dropped. As no thread is left that uses them, its communicators are freed.
        """
        before = self.epoch
        self.epoch = replace(
            before,
            number=before.number + 1,
            control=duplicate(before.comm),
            states=duplicate(before.comm),
            ended=threading.Event(),
        )
        before.ended.set()
        before.control.Free()
        before.states.Free()

    def form(self, groups: Iterable[tuple[int, ...]]) -> Group:
        """The one of these groups that this rank belongs to; collective over each group's ranks alone.

        All its ranks must be in the same epoch: whoever hands out orders forms no groups while an epoch is entered.

        Args:
            groups: ids of the ranks of each, its leader first.
        """
        from mpi4py import MPI

        epoch = self.epoch
        ranks = next(ranks for ranks in groups if self.rank_id in ranks)
        everybody = epoch.comm.Get_group()
        members = everybody.Incl([epoch.world_ranks[rank] for rank in ranks])
        inner = epoch.comm.Create_group(members, tag=ranks[0])
        members.Free()
        everybody.Free()
        inner.Set_errhandler(MPI.ERRORS_RETURN)
        return Group(ranks, training=duplicate(inner), inner=inner)

    def _join(self, comm: MPI.Intracomm, before: int) -> Epoch:
        """The epoch that begins with a communicator; its ranks tell each other who they are."""
        from mpi4py import MPI

        control, states, lifeline = duplicate(comm), duplicate(comm), duplicate(comm)
        node = comm.Split_type(MPI.COMM_TYPE_SHARED, self.rank_id)  # the lowest id is the first
        name = broadcast(node, self.rank_id, ENTER_SECONDS, "the ranks of this node")
        node.Free()
        ranks = gather_all(comm, [self.rank_id, name, before], ENTER_SECONDS, "the ranks of a new epoch")
        return Epoch(
            number=1 + max(last for *_, last in ranks),
            ids=tuple(rank_id for rank_id, *_ in ranks),
            world_ranks={rank_id: world_rank for world_rank, (rank_id, *_) in enumerate(ranks)},
            nodes={rank_id: node for rank_id, node, _ in ranks},
            comm=comm,
            control=control,
            states=states,
            lifeline=lifeline,
        )
