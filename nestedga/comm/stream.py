"""Messages that arrive once each, though what is on its way may be lost or come twice. Numbers only; no MPI."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

MOST_UNCONFIRMED = 32  # messages taken without a word; then the partner is told, so that it need not keep them


@dataclass(slots=True)
class Stream:
    """What goes to one partner and what comes back from it, each numbered 1, 2, ....

    Both sides tell with each message how far they have heard the other. What is not confirmed so is kept, and sent
    again where it may have been lost.

    Attributes:
        posted: number of the last message posted.
        heard: number of the last message taken.
        told: how far the partner has been told so.
    """

    posted: int = 0
    heard: int = 0
    told: int = 0
    _unconfirmed: deque[tuple[int, bytearray]] = field(default_factory=deque)

    def post(self, body: bytearray) -> int:
        """Keeps a message until it is confirmed; gives its number."""
        self.posted += 1
        self._unconfirmed.append((self.posted, body))
        return self.posted

    def confirm(self, number: int) -> None:
        """The partner has taken all messages up to this one."""
        while self._unconfirmed and self._unconfirmed[0][0] <= number:
            self._unconfirmed.popleft()

    def take(self, number: int) -> bool:
        """True for the message that comes next, False for one that was taken before."""
        if number <= self.heard:
            return False
        assert number == self.heard + 1, f"message {number} came after {self.heard}"
        self.heard = number
        return True

    def tell(self) -> int:
        """How far this side has heard; the partner is told now."""
        self.told = self.heard
        return self.heard

    @property
    def owes_word(self) -> bool:
        """Whether the partner has not been told for so long that a message without content is due."""
        return self.heard - self.told >= MOST_UNCONFIRMED

    def __iter__(self) -> Iterator[tuple[int, bytearray]]:
        """What is to be sent again: number and content, the oldest first."""
        return iter(tuple(self._unconfirmed))
