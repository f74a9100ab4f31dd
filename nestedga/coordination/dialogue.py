"""What the search was asked and told, and what it knew when it was asked: an answer may be long in coming."""

from __future__ import annotations

import time
from collections.abc import Sequence

from nestedga.coordination.thinker import Thinker
from nestedga.population.member import Evaluation, Member

NAP_SECONDS = 1e-3  # between two looks for an answer that is waited for


class Dialogue:
    """The coordinator's side of the talk with a search.

    Args:
        thinker: where the search thinks.

    Attributes:
        num_told: evaluations and immigrants that the search was told of.
        thinking: it was asked and has not answered yet.
        told_when_asked: how many it was told of before it was asked for the members that came last.
    """

    def __init__(self, thinker: Thinker) -> None:
        self.prefetch = thinker.prefetch
        self.adopt = thinker.adopt
        self.needed = thinker.needed
        self.num_told = 0
        self.thinking = False
        self.told_when_asked = 0
        self._thinker = thinker
        self._number = 0  # of the last request
        self._n = 0  # how many it asked for
        self._known = 0  # how many the search was told of before the request that it answered last
        self._has_nobody = False  # as it said last, knowing all

    @property
    def done(self) -> bool:
        """Whether everything was asked and told; up to date after ``catch_up``."""
        return self._thinker.done

    def tell(self, member: Member, evaluation: Evaluation) -> None:
        """Tells of a member of this search, or of an immigrant.

        Args:
            member: of whom.
            evaluation: with objectives to be minimised.
        """
        self.num_told += 1
        self._has_nobody = False
        if member.id < 0:
            self._thinker.immigrate(member, evaluation)
        else:
            self._thinker.tell(evaluation)

    def ask(self, n: int) -> Sequence[Member]:
        """At most n new members, n > 0; none while the search thinks, or until it is told more. Does not wait."""
        while not self.done and not self._has_nobody:
            if not self.thinking:
                self._request(n)
            if (members := self._poll()) is None:
                return ()
            if members:
                return members
            # What came in while it was thinking may change its mind.
            self._has_nobody = self._n > 0 and self._known == self.num_told
        return ()

    def catch_up(self) -> bool:
        """Sees to it that ``done`` and ``needed`` know all that was told; True once they do. Does not wait.

        A search that thinks of new members is left to it: what it says of itself may be old then.
        """
        if self._known == self.num_told or (self.thinking and self._n > 0):
            return True
        if not self.thinking:
            self._request(0)
        return self._poll() is not None

    def await_all_told(self) -> None:
        """Waits until ``catch_up`` is done; the thinker limits how long."""
        while not self.catch_up():
            time.sleep(NAP_SECONDS)

    def close(self) -> None:
        """Nothing more is asked or told."""
        self._thinker.close()

    def _request(self, n: int) -> None:
        self._number, self._n = self._thinker.request(n), n
        self.thinking, self.told_when_asked = True, self.num_told

    def _poll(self) -> Sequence[Member] | None:
        """The members of the answer, if it has come."""
        answer = self._thinker.poll()
        if answer is None:
            return None
        assert answer.number == self._number, "an answer to another request"
        self.thinking, self._known = False, self.told_when_asked
        return answer.members
