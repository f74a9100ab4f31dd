"""The group of this rank, and what its ranks do together."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nestedga.comm.packing import entries_of, header_of, pieces
from nestedga.comm.waiting import broadcast, finish, gather_all
from nestedga.protocol.messages import StateHeader
from nestedga.states import buffers
from nestedga.states.state import State

if TYPE_CHECKING:
    from mpi4py import MPI

BROADCAST_BYTES = 1 << 28  # MPI counts are 32-bit


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The group of this rank. Its collectives are called by all its ranks, and sleep while they wait.

    How long they wait is up to the leader, who waits for orders; meanwhile the watchdog rests, and the lifeline ends
    the job with a rank that dies. ``ended`` is the door for whoever heals groups: it ends the waits, not the job.

    Attributes:
        ranks: their ids, the leader first.
        training: its communicator for Horovod alone.
        inner: the same ranks, for everything else (a message must never meet one of Horovod's).
        ended: once set, whatever waits in the group raises ``WaitEnded``.
    """

    ranks: tuple[int, ...]
    training: MPI.Intracomm
    inner: MPI.Intracomm
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def number(self) -> int:
        """A group is named by its leader's id."""
        return self.ranks[0]

    @property
    def inner_rank(self) -> int:
        return int(self.inner.Get_rank())

    @property
    def is_leader(self) -> bool:
        return self.inner_rank == 0

    def broadcast(self, value: Any) -> Any:
        """The leader's value, a message or plain data, on every rank."""
        return broadcast(self.inner, value, self.ended, "the leader's word")

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, a message or plain data, on all ranks, by inner rank."""
        return gather_all(self.inner, value, self.ended, "all ranks of the group")

    def share(self, member_id: int, state: State | None) -> State | None:
        """The leader's state of a member on every rank; None where the leader has none."""
        header: StateHeader | None = self.broadcast(state and header_of(member_id, state))
        if header is None or len(self.ranks) == 1:
            return state
        buffer = buffers.empty(header.num_bytes) if state is None else state.buffer
        for piece in pieces(buffer, BROADCAST_BYTES):
            finish(self.inner.Ibcast(piece, 0), self.ended, "a state")
        buffer.flags.writeable = False
        return state if state is not None else State(entries_of(header), buffer, header.checksum)

    def free(self) -> None:
        """The group is no more; its ranks have joined others."""
        self.training.Free()
        self.inner.Free()
