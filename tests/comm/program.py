"""What programs under mpirun share: a cache for states, and an end that no rank is left behind by."""

import traceback

from mpi4py import MPI


class Memory(dict):
    """A cache without limits."""

    def put(self, member_id, state, *, own):
        self[member_id] = state

    def drop(self, member_ids):
        for member_id in member_ids:
            self.pop(member_id, None)


def run(main):
    """Where one rank fails, all end."""
    try:
        main()
    except Exception:
        traceback.print_exc()
        MPI.COMM_WORLD.Abort(1)
