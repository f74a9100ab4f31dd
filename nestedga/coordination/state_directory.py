"""Where the states are that members leave behind, and which of them are kept."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, KeysView, Mapping
from typing import Protocol

from nestedga.coordination.holders import Holders
from nestedga.population.member import Evaluation, Member
from nestedga.protocol.messages import Source
from nestedga.record.members import Members, Told


class StateFiles(Protocol):
    """Durable copies of states, by member id."""

    def intact(self, member_id: int) -> bool:
        """Whether a file is there and whole."""
        ...

    def remove(self, member_id: int) -> None:
        """Deletes a file."""
        ...

    def all(self) -> Iterable[int]:
        """Whose files there are, whole or not."""
        ...


class StateDirectory:
    """Members whose state somebody may still want, and where it is: with leaders, on disk, in both places or in none.

    Args:
        files: durable copies of states.
        nodes: the node of each rank, by its id.
        members: of the run; the front is kept whatever the search wants.
    """

    def __init__(self, files: StateFiles, nodes: Mapping[int, int], members: Members) -> None:
        self._files = files
        self._front, self._modes = members.front, members.modes
        self._known: dict[int, tuple[Member, Evaluation]] = {}  # whose state is wanted, or a wanted one's parent
        self._holders = Holders(nodes)
        self._durable: set[int] = set()
        self._removable: set[int] = set()  # whose files may go
        self._to_drop: dict[int, set[int]] = defaultdict(set)  # by leader, told with its next order

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, member_id: int) -> bool:
        return member_id in self._known

    def add(self, told: Told) -> None:
        """A member was evaluated."""
        self._known[told.member.id] = told.member, told.evaluation

    def add_holder(self, member_id: int, leader: int) -> None:
        """A leader has a state that its group has just produced."""
        self._holders.add(member_id, leader)
        self._keep(member_id, leader)

    def add_durable(self, member_ids: Iterable[int]) -> None:
        """States have come to disk."""
        self._durable.update(member_ids)

    def find_files(self) -> None:
        """What is on disk after a restart, and intact; what nobody knows is removed.

        One that cannot be read now stays: it may be a disk's passing trouble, and it is written over once it is
        trained again.
        """
        on_disk = set(self._files.all())
        self._durable = {member_id for member_id in on_disk & set(self._known) if self._files.intact(member_id)}
        for member_id in on_disk - set(self._known):
            self._files.remove(member_id)

    def member(self, member_id: int) -> Member:
        """A known one."""
        return self._known[member_id][0]

    def evaluation(self, member_id: int) -> Evaluation:
        """A known one's, in the user's sign."""
        return self._known[member_id][1]

    def promise(self, member: Member) -> float:
        """What may be expected of a member before it is trained: its parent's minimised FoM, infinite without one."""
        parents = [self.evaluation(parent) for parent in member.weights_parents[:1]]
        return parents[0].minimised(self._modes).fom if parents else math.inf

    # Where states are

    def has_state(self, member_id: int) -> bool:
        """Whether it ever had one."""
        return self.evaluation(member_id).checksum is not None

    def is_durable(self, member_id: int) -> bool:
        """Whether it is on disk."""
        return member_id in self._durable

    def is_being_written(self, member_id: int) -> bool:
        """Whether it will come to disk by itself."""
        return member_id not in self._durable and self._holders.has_producer(member_id)

    def is_lost(self, member_id: int) -> bool:
        """There was a state, and it is neither in memory nor on disk."""
        return self.has_state(member_id) and member_id not in self._holders and member_id not in self._durable

    def holders(self, member_id: int) -> KeysView[int]:
        """Leaders that have a state in memory, or are about to."""
        return self._holders.of(member_id)

    def source(self, member_id: int, leader: int) -> Source:
        """Where a leader gets a state; it is a holder from now on."""
        self._keep(member_id, leader)
        return Source(member_id, self._holders.assign(member_id, leader), self._known[member_id][0].genotype)

    def discard(self, member_id: int, leaders: Iterable[int]) -> None:
        """A state was not to be had from these leaders, nor from disk."""
        self._durable.discard(member_id)
        for leader in self._holders.discard(member_id, leaders):
            self._to_drop[leader].add(member_id)

    def _keep(self, member_id: int, leader: int) -> None:
        """A leader has a state again that it was to drop."""
        if leader in self._to_drop:
            self._to_drop[leader].discard(member_id)

    # What is kept

    def forget(self, wanted: set[int]) -> None:
        """Lets go of what nobody wants. A parent's file goes only when its children's are durable.

        Args:
            wanted: members whose state somebody may still begin with; the best and the front are kept besides.
        """
        wanted = wanted | set(self._front.ids[:1])  # the test split is read for the best
        front = set(self._front.ids)
        kept = wanted | front
        rest = list(kept)
        while rest:
            member_id = rest.pop()
            if member_id in self._durable or not self.has_state(member_id):
                continue
            parents = set(self.member(member_id).weights_parents) - kept
            kept |= parents
            rest += parents
        self._known = {member_id: self._known[member_id] for member_id in kept}
        # Nobody begins with the rest of the front: to have it on disk is enough.
        in_memory = wanted | (front - self._durable)
        for leader, member_id in self._holders.forget(in_memory):
            self._to_drop[leader].add(member_id)
        self._removable |= self._durable - kept
        self._durable &= kept

    def remove_files(self) -> None:
        """Removes the files of what was let go; once the journal says on disk why nobody wants them."""
        for member_id in self._removable:
            self._files.remove(member_id)
        self._removable.clear()

    @property
    def with_drops(self) -> KeysView[int]:
        """Leaders that have something to drop."""
        return self._to_drop.keys()

    def take_drops(self, leader: int) -> tuple[int, ...]:
        """States that a leader need not keep any more, since the last call."""
        return tuple(self._to_drop.pop(leader, ()))
