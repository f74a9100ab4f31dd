"""One rank's end is everybody's: a fault, or a rank's death, ends the whole job within a second, under any launcher.

MPI_Abort alone is not enough: with fault tolerance switched on, Open MPI's mpirun waits for ever after one (5.0.11).
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

from nestedga.comm.epoch import Epoch
from nestedga.comm.waiting import finish
from nestedga.comm.world import World

if TYPE_CHECKING:
    from mpi4py import MPI

END_TAG = 1
POLL_SECONDS = 0.1
TELL_SECONDS = 2.0  # how long the others may take to hear of the end
FAREWELL_SECONDS = 600.0  # between the first rank that has come to a good end and the last


def tells_of_death(error: BaseException | None) -> bool:
    """True for what MPI raises, with fault tolerance switched on, when another rank has died."""
    from mpi4py import MPI

    deaths = (MPI.ERR_PROC_FAILED, MPI.ERR_PROC_FAILED_PENDING, MPI.ERR_REVOKED)
    return isinstance(error, MPI.Exception) and error.Get_error_class() in deaths


class Lifeline:
    """A thread on each rank that listens for the end, on a communicator of its own in each epoch.

    So it owns every wait that nothing else ends.

    Args:
        world: all ranks.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="lifeline", daemon=True)
        self._thread.start()

    def end_job(self, code: int) -> NoReturn:
        """Ends every rank of the job with an exit code; does not return."""
        from mpi4py import MPI

        sys.stdout.flush()
        sys.stderr.flush()
        payload, comm = bytearray([code]), self._world.epoch.lifeline
        try:
            others = [rank for rank in range(comm.Get_size()) if rank != comm.Get_rank()]
            requests = [comm.Isend(payload, rank, END_TAG) for rank in others]
            for request in requests:
                finish(request, TELL_SECONDS, "the others to hear of the end")
            time.sleep(2 * POLL_SECONDS)  # a launcher that kills the others now would cut off what they still print
        except (MPI.Exception, TimeoutError):
            pass  # they have gone already
        os._exit(code)

    def await_end(self) -> NoReturn:
        """For a rank that knows that the job is ending, and that somebody else tells why."""
        time.sleep(10 * TELL_SECONDS)
        os._exit(1)

    def close(self) -> None:
        """Listens no more."""
        self._closed.set()
        self._thread.join()

    def end_well(self, code: int) -> NoReturn:
        """After a good end: finalises MPI and leaves at once; does not return.

        The interpreter's own way out collects all of torch's garbage first; with more ranks than cores that takes
        minutes, while those who are done spin in MPI_Finalize.
        """
        from mpi4py import MPI

        self.close()
        finish(self._world.epoch.lifeline.Ibarrier(), FAREWELL_SECONDS, "all ranks")
        sys.stdout.flush()
        sys.stderr.flush()
        MPI.Finalize()
        os._exit(code)

    def _listen(self) -> None:
        from mpi4py import MPI

        before = present = self._world.epoch
        while not self._closed.wait(POLL_SECONDS):
            if self._world.epoch is not present:
                before, present = present, self._world.epoch
            try:
                if before is not present:
                    self._hear(before)  # of one that was still there when it said so
            except MPI.Exception:
                before = present  # who has died there is not among the living of this one
            try:
                self._hear(present)
            except MPI.Exception as error:
                self._mourn(present, error)

    def _hear(self, epoch: Epoch) -> None:
        from mpi4py import MPI

        message = epoch.lifeline.Improbe(MPI.ANY_SOURCE, END_TAG)
        if message is not None:
            payload = bytearray(1)
            message.Recv(payload)
            os._exit(payload[0])

    def _mourn(self, epoch: Epoch, error: MPI.Exception) -> NoReturn:
        """Another rank has died, and the launcher has let us live to see it."""
        from mpi4py import MPI

        dead: list[int] = []
        with contextlib.suppress(MPI.Exception, NotImplementedError):  # an MPI that cannot say who
            world, failed = epoch.lifeline.Get_group(), epoch.lifeline.Get_failed()
            ranks = failed.Translate_ranks(list(range(failed.Get_size())), world)
            dead = sorted(epoch.ids[rank] for rank in ranks)
        lowest_alive = min(set(epoch.ids) - set(dead))
        if self._world.rank_id != lowest_alive:
            time.sleep(TELL_SECONDS)  # the launcher kills the rest at the next exit: the one that tells goes first
        else:
            who = f"world rank {', '.join(map(str, dead))}" if dead else f"a rank ({error})"
            print(
                f"nestedga: {who} has died; the same command with resume=true goes on",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(2 * POLL_SECONDS)  # until the launcher has passed it on
        os._exit(1)
