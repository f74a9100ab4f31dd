"""Under mpirun: ``python -m nestedga``, which besides tells of every state that a leader asks another for."""

import threading

from nestedga.__main__ import main
from nestedga.comm.fetching import Fetcher

if __name__ == "__main__":
    fetch = Fetcher.fetch

    def fetch_and_tell(self, member_id, holder):
        print(f"fetch {self._world.rank_id} {member_id} {threading.current_thread().name}", flush=True)
        return fetch(self, member_id, holder)

    Fetcher.fetch = fetch_and_tell
    main()
