"""The states that a leader keeps: in memory up to a limit, then on a disk of its node, then in the run folder alone."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

from nestedga.errors import SettingError
from nestedga.states.state import State

WRITER_NICENESS = 5  # of the thread that writes: a core that trains comes first, yet is not waited for


class StateCache:
    """Keeps states by member id, and brings those produced here to the run folder in the background.

    An own state, one that this group has produced, can be got until it is dropped. A copy of another group's may be
    let go when room is short: its producer has it. The least recently used goes first. Own states that are dropped
    before their turn are never written: a slow disk holds up training only where memory and local disk are full.

    Memory holds at most the limit and the one state that is being put or got; what callers and the writer have in hand
    counts besides. Sizes are those of the buffers.

    All methods may be called by any thread. Three locks, taken in this order: ``_moving`` by whoever moves states
    between memory and disk, ``_writing`` by whoever writes to the run folder, ``_lock`` for a moment, to read or change
    what is where. So a state in memory is got without waiting for a disk.

    Args:
        path_of: the file of a member's state in the run folder.
        memory_limit: bytes; None: no limit.
        local_folder: on a disk of this node; None: none is used. States lie in a folder of their own below it.
        local_limit: bytes; None: as much as the disk takes.
    """

    def __init__(
        self,
        path_of: Callable[[int], Path],
        *,
        memory_limit: int | None,
        local_folder: Path | None,
        local_limit: int | None,
    ) -> None:
        self._path_of = path_of
        self._memory_limit = memory_limit
        self._local_limit = local_limit
        self._local = _open_local(local_folder) if local_folder is not None else None
        self._memory: OrderedDict[int, State] = OrderedDict()  # the least recently used first
        self._memory_bytes = 0
        self._pages: OrderedDict[int, int] = OrderedDict()  # bytes of what is on local disk, perhaps in memory as well
        self._pending: dict[int, int] = {}  # own states not in the run folder yet, in order, with the number of the put
        self._durable: set[int] = set()  # own states in the run folder
        self._written: dict[int, None] = {}  # written since they were last asked for, in order
        self._puts = itertools.count(1)
        self._closing = False
        self._moving = threading.Lock()
        self._writing = threading.Lock()
        self._lock = threading.Condition()
        self._thread = threading.Thread(target=self._write_pending, name="state writer", daemon=True)
        self._thread.start()

    def put(self, member_id: int, state: State, *, own: bool) -> None:
        """Keeps a state; own: this group has produced it."""
        with self._moving:
            own = own or self._is_own(member_id)
            self._forget(member_id)
            with self._lock:
                self._hold(member_id, state)
                if own:
                    self._pending[member_id] = next(self._puts)
                    self._lock.notify()
            self._shrink_memory()

    def get(self, member_id: int) -> State | None:
        """The state, intact; None where it is not here."""
        with self._lock:
            if member_id in self._memory:
                self._memory.move_to_end(member_id)
                return self._memory[member_id]
            if member_id not in self._pages and member_id not in self._durable:
                return None
        with self._moving:
            return self._bring_back(member_id)

    def drop(self, member_ids: Iterable[int]) -> None:
        """Lets go of states in memory and on local disk; files in the run folder stay."""
        with self._moving:
            for member_id in member_ids:
                self._forget(member_id)

    def take_durable(self) -> tuple[int, ...]:
        """Members whose states have come to the run folder since the last call, those dropped meanwhile included."""
        with self._lock:
            written, self._written = tuple(self._written), {}
        return written

    def close(self) -> None:
        """Returns when all own states still kept are in the run folder. Own states can be got even then."""
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._thread.join()
        with self._moving:
            with self._lock:
                self._pages.clear()
            if self._local is not None:
                self._local.remove()
                self._local = None

    def clear(self) -> None:
        """Keeps nothing in memory any more; after ``close``."""
        with self._lock:
            self._memory.clear()
            self._memory_bytes = 0

    # Between memory and disk; with _moving held

    def _bring_back(self, member_id: int) -> State | None:
        with self._lock:
            state = self._memory.get(member_id)  # somebody was faster
            paged, durable = member_id in self._pages, member_id in self._durable
        if state is None and paged:
            state = State.load(self._page(member_id))
            if state is None:
                self._forget_page(member_id)  # damaged
        if state is None and durable:
            state = State.load(self._path_of(member_id))
        if state is not None:
            self._hold(member_id, state)
            self._shrink_memory()
        return state

    def _shrink_memory(self) -> None:
        while True:
            with self._lock:
                if self._memory_limit is None or self._memory_bytes <= self._memory_limit:
                    return
                member_id, state = next(iter(self._memory.items()))
            if not self._page_out(member_id, state):
                self._make_durable(member_id)
            self._release(member_id)

    def _page_out(self, member_id: int, state: State) -> bool:
        """True when the state lies on local disk."""
        if member_id in self._pages:
            self._pages.move_to_end(member_id)
            return True
        if self._local is None or not self._make_local_room(state.buffer.nbytes, own=self._is_own(member_id)):
            return False
        try:
            state.save(self._page(member_id), sync=False)
        except OSError as error:
            if not self._local.is_full:
                print(f"nestedga: {self._local.path} takes no more ({error}); slower: the run folder", flush=True)
            self._local.is_full = True
            self._local_limit = sum(self._pages.values())  # as large as the disk has turned out to be
            return False
        with self._lock:
            self._pages[member_id] = state.buffer.nbytes
        return True

    def _make_local_room(self, num_bytes: int, own: bool) -> bool:
        """True when there is room for so many bytes; a copy of another group's state pushes nothing out."""
        if self._local_limit is None:
            return True
        if num_bytes > self._local_limit:
            return False
        while sum(self._pages.values()) + num_bytes > self._local_limit:
            if not own:
                return False
            oldest = next(iter(self._pages))
            self._make_durable(oldest)
            self._forget_page(oldest)
        return True

    def _forget(self, member_id: int) -> None:
        with self._lock:  # at once, or the writer would miss the state of one that is to be written
            self._release(member_id)
            self._pending.pop(member_id, None)
            self._durable.discard(member_id)
        self._forget_page(member_id)

    def _hold(self, member_id: int, state: State) -> None:
        with self._lock:
            self._release(member_id)
            self._memory[member_id] = state
            self._memory_bytes += state.buffer.nbytes

    def _release(self, member_id: int) -> None:
        with self._lock:
            state = self._memory.pop(member_id, None)
            self._memory_bytes -= state.buffer.nbytes if state is not None else 0

    def _forget_page(self, member_id: int) -> None:
        with self._lock:
            num_bytes = self._pages.pop(member_id, None)
        if num_bytes is not None:
            self._page(member_id).unlink(missing_ok=True)

    def _page(self, member_id: int) -> Path:
        assert self._local is not None
        return self._local.path / f"{member_id}.safetensors"

    def _is_own(self, member_id: int) -> bool:
        with self._lock:
            return member_id in self._pending or member_id in self._durable

    # To the run folder

    def _write_pending(self) -> None:
        with contextlib.suppress(OSError):  # a system where threads have no priority of their own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), WRITER_NICENESS)
        while (member_id := self._next_pending()) is not None:
            self._make_durable(member_id)

    def _next_pending(self) -> int | None:
        with self._lock:
            self._lock.wait_for(lambda: self._pending or self._closing)
            return next(iter(self._pending), None)

    def _make_durable(self, member_id: int) -> None:
        """Returns when the state is in the run folder, or is no own state any more."""
        with self._writing:
            while True:
                with self._lock:
                    number = self._pending.get(member_id)
                    state = self._memory.get(member_id)
                if number is None:
                    return
                # A page stays until the state is durable or dropped.
                state = state or State.load(self._page(member_id))
                if state is not None:
                    self._write(member_id, state)
                with self._lock:
                    if state is not None:
                        self._written[member_id] = None
                    if self._pending.get(member_id) != number:
                        continue  # dropped meanwhile, or put anew
                    if state is None:
                        raise SettingError(
                            f"states.local_dir: {self._page(member_id)} was damaged or removed by others before its "
                            "state was in the run folder; name a folder that nobody cleans; resume=true goes on"
                        )
                    del self._pending[member_id]
                    self._durable.add(member_id)

    def _write(self, member_id: int, state: State) -> None:
        path = self._path_of(member_id)
        try:
            state.save(path)
        except OSError as error:
            raise SettingError(
                f"run.dir: {path} cannot be written ({error.strerror or error}); resume=true goes on"
            ) from error


class _LocalFolder:
    """A folder of this object alone, locked as long as the process lives: so a later one knows what was left behind."""

    PREFIX = "nestedga-states-"

    def __init__(self, parent: Path) -> None:
        self.is_full = False
        parent.mkdir(parents=True, exist_ok=True)
        for folder in parent.glob(f"{self.PREFIX}*"):
            _remove_left_behind(folder)
        made = Path(tempfile.mkdtemp(dir=parent))
        self._lock = open(made / "lock", "w")  # noqa: SIM115 (the lock lives as long as the file is open)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Named only now: under this name none is without its owner's lock.
        self.path = made.rename(parent / f"{self.PREFIX}{made.name}")

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def _open_local(parent: Path) -> _LocalFolder | None:
    try:
        return _LocalFolder(parent)
    except OSError as error:
        print(f"nestedga: states.local_dir={parent} cannot be used ({error}); slower: the run folder", flush=True)
        return None


def _remove_left_behind(folder: Path) -> None:
    try:
        with open(folder / "lock", "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # in use, removed by another process just now, or another user's
