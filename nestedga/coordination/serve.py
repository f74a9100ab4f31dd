"""The loop of a coordinator: mail in, decisions, mail out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from nestedga.coordination.coordinator import Coordinator
from nestedga.protocol.messages import Order, Prefetch, Report

SHORTEST_NAP_SECONDS, LONGEST_NAP_SECONDS = 50e-6, 8e-3  # between two looks for reports; growing while none come


class Mail(Protocol):
    """How reports come in and orders go out."""

    def poll_reports(self) -> list[Report]: ...

    def order(self, leader: int, order: Order) -> None: ...

    def send_prefetch(self, leader: int, prefetch: Prefetch) -> None: ...

    def flush(self, limit_seconds: float) -> None: ...


def serve(coordinator: Coordinator, mail: Mail, show: Callable[[], None], beat: Callable[[], None]) -> None:
    """Runs a coordinator until its run is over; naps between reports, for it shares a core with a training rank.

    Args:
        coordinator: whose run it is.
        mail: with the leaders.
        show: brings views up to date; called once orders are out, for no group waits for a view.
        beat: tells in each round that the coordinator lives: all groups wait for it.
    """
    nap = SHORTEST_NAP_SECONDS
    while not coordinator.finished:
        beat()
        reports = mail.poll_reports()
        if not reports:
            time.sleep(nap)
            nap = min(1.5 * nap, LONGEST_NAP_SECONDS)
            if not coordinator.thinking:
                continue
        else:
            nap = SHORTEST_NAP_SECONDS
        for report in reports:
            coordinator.receive(report)
        for group, order in coordinator.decide():
            mail.order(group, order)
        for leader, prefetch in coordinator.prepare():
            mail.send_prefetch(leader, prefetch)
        show()
    mail.flush(limit_seconds=60.0)
