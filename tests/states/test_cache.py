"""Whatever the limits: an own state that was not dropped can be got, and memory and local disk stay within theirs."""

import errno
import functools
import itertools
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nestedga.errors import SettingError
from nestedga.states.cache import StateCache
from nestedga.states.state import State

UNIT = 64  # bytes; the size of a state is a multiple
LARGEST = 5  # units


@functools.cache
def some_state(content: int, units: int = 1) -> State:
    return State.from_arrays({"weights/a": np.random.default_rng(content).integers(0, 256, units * UNIT, np.uint8)})


def same(one: State, other: State) -> bool:
    return one.checksum == other.checksum and one.entries == other.entries and bytes(one.buffer) == bytes(other.buffer)


def in_memory(cache: StateCache) -> int:
    return sum(state.buffer.nbytes for state in cache._memory.values())


def on_local_disk(folder: Path) -> dict[int, Path]:
    return {int(path.stem): path for path in folder.glob("*/*.safetensors")}


@pytest.fixture
def made(tmp_path):
    """Makes caches with their files in ``tmp_path``; closes them."""
    caches = []

    def make(memory_limit=None, local_limit=None, local="local"):
        caches.append(
            StateCache(
                lambda member_id: tmp_path / "run" / f"{member_id}.safetensors",
                memory_limit=memory_limit,
                local_folder=tmp_path / local if local else None,
                local_limit=local_limit,
            )
        )
        return caches[-1]

    yield make
    for cache in caches:
        cache.close()


@pytest.fixture
def slow_disk(monkeypatch, tmp_path):
    """A run folder that takes nothing before it is opened; the background writer waits, and whoever writes besides."""
    opened, asked = threading.Event(), threading.Event()
    save = State.save

    def slow(self, path, **options):
        if path.parent == tmp_path / "run":
            asked.set()
            assert opened.wait(60)
        save(self, path, **options)

    monkeypatch.setattr(State, "save", slow)
    opened.asked = asked
    yield opened
    opened.set()


@pytest.fixture
def uncaught(monkeypatch):
    """What threads raised."""
    errors = []
    monkeypatch.setattr(threading, "excepthook", lambda caught: errors.append(caught.exc_value))
    return errors


class Model(RuleBasedStateMachine):
    """The cache beside a dictionary of what was put and not dropped."""

    ids = st.integers(0, 7)
    limits = st.none() | st.integers(0, 12).map(lambda units: units * UNIT)

    @initialize(memory_limit=limits, local_limit=limits, local=st.booleans())
    def begin(self, memory_limit, local_limit, local):
        self.folder = Path(tempfile.mkdtemp())
        self.limits = memory_limit, local_limit
        self.local = self.folder / "local"
        self.cache = StateCache(
            self.path_of,
            memory_limit=memory_limit,
            local_folder=self.local if local else None,
            local_limit=local_limit,
        )
        self.kept, self.own, self.told, self.contents = {}, set(), set(), itertools.count()

    def path_of(self, member_id):
        return self.folder / "run" / f"{member_id}.safetensors"

    @rule(member_id=ids, units=st.integers(0, LARGEST), own=st.booleans())
    def put(self, member_id, units, own):
        state = some_state(next(self.contents), units)
        self.cache.put(member_id, state, own=own)
        self.kept[member_id] = state
        if own:
            self.own.add(member_id)

    @rule(member_id=ids)
    def get(self, member_id):
        state = self.cache.get(member_id)
        if member_id in self.own:
            assert state is not None, f"the own state of member {member_id} was lost"
        if state is not None:
            assert same(state, self.kept[member_id])

    @rule(member_ids=st.sets(ids, max_size=4))
    def drop(self, member_ids):
        self.cache.drop(member_ids)
        for member_id in member_ids:
            self.kept.pop(member_id, None)
            self.own.discard(member_id)
            assert self.cache.get(member_id) is None
            assert member_id not in on_local_disk(self.local)

    @rule()
    def take_durable(self):
        for member_id in self.cache.take_durable():
            assert State.load(self.path_of(member_id)) is not None
            self.told.add(member_id)

    @invariant()
    def own_states_that_left_memory_are_on_a_disk(self):
        pages = on_local_disk(self.local)
        for member_id in self.own - set(self.cache._memory):
            state = State.load(pages.get(member_id, self.path_of(member_id)))
            assert state is not None and same(state, self.kept[member_id])

    @invariant()
    def limits_hold(self):
        memory_limit, local_limit = self.limits
        assert in_memory(self.cache) == self.cache._memory_bytes
        assert memory_limit is None or in_memory(self.cache) <= memory_limit
        if local_limit is not None:
            pages = on_local_disk(self.local)
            assert sum(State.load(path).buffer.nbytes for path in pages.values()) <= local_limit

    def teardown(self):
        if hasattr(self, "cache"):
            self.cache.close()
            assert not list(self.local.glob("*"))
            self.told.update(self.cache.take_durable())
            assert self.cache.take_durable() == ()
            for member_id in self.own:
                assert same(State.load(self.path_of(member_id)), self.kept[member_id])
                assert same(self.cache.get(member_id), self.kept[member_id])
            # What lies in the run folder was reported, or nobody would ever remove it.
            assert {int(path.stem) for path in self.folder.glob("run/*.safetensors")} <= self.told
            assert self.own <= self.told
            assert not list(self.folder.rglob("*.writing"))
            shutil.rmtree(self.folder)


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=25)
TestAnySequence = Model.TestCase


@pytest.mark.parametrize(("memory_units", "local_units"), [(0, None), (6, None), (6, 6), (6, 0), (0, 6), (None, None)])
def test_threads_that_put_get_and_drop_meet_whole_states(made, memory_units, local_units):
    """One thread puts and drops, two get; contents tell which put of a member a state is from."""
    units = lambda number: None if number is None else number * UNIT  # noqa: E731 (one line of arithmetic)
    cache = made(units(memory_units), units(local_units))
    kept: dict[int, int] = {}  # content by member; written by the main thread alone
    moving: set[int] = set()  # members that are being put or dropped
    stop, faults = threading.Event(), []

    def read(seed):
        draw = random.Random(seed)
        while not stop.is_set():
            member_id = draw.randrange(12)
            before = kept.get(member_id)
            if before is None or member_id in moving:
                continue
            state = cache.get(member_id)
            if kept.get(member_id) != before or member_id in moving:
                continue
            if state is None or not same(state, some_state(before, 1 + before % LARGEST)):
                faults.append(f"member {member_id}: {state}")

    readers = [threading.Thread(target=read, args=(seed,)) for seed in (1, 2)]
    for thread in readers:
        thread.start()
    draw = random.Random(0)
    for content in range(200):
        member_id = draw.randrange(12)
        moving.add(member_id)
        if draw.random() < 0.3:
            kept.pop(member_id, None)
            cache.drop([member_id])
        else:
            cache.put(member_id, some_state(content, 1 + content % LARGEST), own=True)
            kept[member_id] = content
        moving.discard(member_id)
        assert in_memory(cache) <= (LARGEST * UNIT + units(memory_units) if memory_units is not None else 10**9)
    stop.set()
    for thread in readers:
        thread.join()
    assert not faults, faults[:3]
    cache.close()
    for member_id, content in kept.items():
        assert same(cache.get(member_id), some_state(content, 1 + content % LARGEST))


def test_memory_never_holds_more_than_the_limit_and_the_state_being_put(made, monkeypatch, tmp_path):
    cache, most = made(3 * UNIT, 2 * UNIT), []
    save = State.save

    def watched(self, path, **options):
        with cache._lock:
            most.append(in_memory(cache))
        save(self, path, **options)

    monkeypatch.setattr(State, "save", watched)
    for content in range(20):
        cache.put(content, some_state(content), own=True)
        cache.get(content // 2)
    assert max(most) <= 4 * UNIT


def test_the_least_recently_used_goes_first(made, tmp_path):
    cache = made(2 * UNIT)
    cache.put(1, some_state(1), own=True)
    cache.put(2, some_state(2), own=True)
    cache.get(1)
    cache.put(3, some_state(3), own=True)
    assert set(on_local_disk(tmp_path / "local")) == {2}
    assert set(cache._memory) == {1, 3}
    cache.get(2)  # back in memory, so another goes
    assert set(cache._memory) == {2, 3}


def test_on_local_disk_too_the_least_recently_used_goes_first(made, tmp_path):
    cache = made(0, 2 * UNIT)
    for member_id in (1, 2):
        cache.put(member_id, some_state(member_id), own=True)
    cache.get(1)
    cache.put(3, some_state(3), own=True)
    assert set(on_local_disk(tmp_path / "local")) == {1, 3}


def test_a_copy_pushes_nothing_from_local_disk_and_goes_before_newer_own_states(made, tmp_path):
    cache = made(0, 2 * UNIT)
    for member_id, own in ((2, False), (1, True), (3, False)):
        cache.put(member_id, some_state(member_id), own=own)
    assert set(on_local_disk(tmp_path / "local")) == {1, 2} and cache.get(3) is None
    cache.put(4, some_state(4), own=True)
    assert set(on_local_disk(tmp_path / "local")) == {1, 4} and cache.get(2) is None


def test_a_copy_is_never_written_to_the_run_folder(made, tmp_path):
    cache = made(0, 0)
    cache.put(1, some_state(1), own=False)
    assert cache.get(1) is None
    cache.close()
    assert not (tmp_path / "run").exists() and cache.take_durable() == ()


def test_a_state_in_memory_is_got_while_the_disk_is_slow(made, slow_disk):
    cache = made(2 * UNIT, 0)
    cache.put(1, some_state(1), own=True)
    cache.put(2, some_state(2), own=True)
    over = threading.Thread(target=cache.put, args=(3, some_state(3)), kwargs={"own": True})
    over.start()
    assert slow_disk.asked.wait(60)
    assert same(cache.get(2), some_state(2))  # a deadlock would run into the time limit
    assert over.is_alive(), "the state was let go before its copy was in the run folder"
    slow_disk.set()
    over.join()
    assert same(cache.get(1), some_state(1))


def test_states_dropped_before_their_turn_are_skipped_and_one_in_its_turn_is_reported(made, tmp_path, slow_disk):
    cache = made()
    cache.put(1, some_state(1), own=True)
    assert slow_disk.asked.wait(60)
    for member_id in (2, 3):
        cache.put(member_id, some_state(member_id), own=True)
    cache.drop([1, 2])
    slow_disk.set()
    cache.close()
    assert {path.stem for path in (tmp_path / "run").glob("*")} == {"1", "3"}
    assert cache.take_durable() == (1, 3)  # 1 as well, so that its file is removed


def test_the_writer_never_meets_a_state_that_is_half_dropped(made, slow_disk, uncaught, monkeypatch):
    cache = made(local=None)
    cache.put(1, some_state(1), own=True)
    assert slow_disk.asked.wait(60)
    cache.put(2, some_state(2), own=True)
    release = cache._release

    def slowly(member_id):
        release(member_id)
        slow_disk.set()  # the writer comes to 2 now, if it can
        time.sleep(0.05)

    monkeypatch.setattr(cache, "_release", slowly)
    cache.drop([2])
    cache.close()
    assert not uncaught and cache.take_durable() == (1,)


def test_a_state_put_anew_while_the_old_one_is_written_is_written_again(made, tmp_path, slow_disk):
    cache = made()
    cache.put(1, some_state(1), own=True)
    assert slow_disk.asked.wait(60)
    cache.put(1, some_state(2), own=True)
    slow_disk.set()
    cache.close()
    assert same(State.load(tmp_path / "run" / "1.safetensors"), some_state(2))


def test_a_page_that_is_gone_or_damaged_is_got_from_the_run_folder(made, tmp_path):
    cache = made(0)
    for member_id in (1, 2):
        cache.put(member_id, some_state(member_id), own=True)
    while len(cache._durable) < 2:
        time.sleep(0.001)
    pages = on_local_disk(tmp_path / "local")
    pages[1].unlink()
    pages[2].write_bytes(pages[2].read_bytes()[:-1] + b"?")
    assert same(cache.get(1), some_state(1)) and same(cache.get(2), some_state(2))


def test_a_page_that_is_gone_too_early_ends_the_job_in_one_line(made, tmp_path, slow_disk, uncaught):
    cache = made(0)
    cache.put(1, some_state(1), own=True)
    assert slow_disk.asked.wait(60)
    cache.put(2, some_state(2), own=True)
    on_local_disk(tmp_path / "local")[2].unlink()
    assert cache.get(2) is None
    slow_disk.set()
    cache.close()
    assert isinstance(uncaught[0], SettingError) and "states.local_dir" in str(uncaught[0])


def test_a_run_folder_that_takes_nothing_ends_the_job_in_one_line(made, tmp_path, uncaught):
    (tmp_path / "run").write_text("a file in the way")
    cache = made(0, 0)
    with pytest.raises(SettingError, match=r"^run.dir: .*1.safetensors cannot be written \(.*\); resume=true goes on$"):
        cache.put(1, some_state(1), own=True)
    cache.close()
    assert isinstance(uncaught[0], SettingError)


def test_a_local_folder_that_cannot_be_made_costs_a_line(made, tmp_path, capsys):
    (tmp_path / "file").write_text("a file in the way")
    cache = made(UNIT, local="file/local")
    for member_id in range(4):
        cache.put(member_id, some_state(member_id), own=True)
    for member_id in range(4):
        assert same(cache.get(member_id), some_state(member_id))
    assert capsys.readouterr().out.count("nestedga: states.local_dir") == 1


@pytest.mark.parametrize("rooms", [(0, 0), (2, 2), (2, 0)])
def test_a_local_disk_that_is_full_costs_a_line(made, tmp_path, monkeypatch, capsys, rooms):
    """Rooms: how many states the disk takes at first, and when others have filled it further."""
    save, room = State.save, iter([rooms[0]] * 6 + [rooms[1]] * 6)

    def full(self, path, **options):
        if path.is_relative_to(tmp_path / "local") and len(on_local_disk(tmp_path / "local")) >= now:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path, **options)

    monkeypatch.setattr(State, "save", full)
    cache = made(UNIT)
    for member_id, now in enumerate(room):  # noqa: B007 (`full` reads it)
        cache.put(member_id, some_state(member_id), own=True)
    assert len(on_local_disk(tmp_path / "local")) == rooms[1]
    for member_id in range(12):
        assert same(cache.get(member_id), some_state(member_id))
    assert capsys.readouterr().out.count("takes no more") == 1


def test_a_disk_that_is_full_is_an_os_error_and_leaves_nothing(tmp_path):
    """With a limit on the size of files, for a small disk needs root."""
    code = """if True:
        import resource, sys, numpy as np
        from pathlib import Path
        from nestedga.states.state import State
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        try:
            State.from_arrays({"a": np.zeros(100_000)}).save(Path(sys.argv[1]) / "1.safetensors")
        except OSError as error:
            print("refused")
    """
    command = [sys.executable, "-c", code, tmp_path]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert answer.stdout.strip() == "refused", answer.stderr
    assert not list(tmp_path.glob("*"))


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(made, tmp_path):
    code = """if True:
        import sys, time, numpy as np
        from pathlib import Path
        from nestedga.states.state import State
        from nestedga.states.cache import StateCache
        folder = Path(sys.argv[1])
        cache = StateCache(lambda i: folder / "other" / str(i), memory_limit=0, local_folder=folder, local_limit=None)
        cache.put(1, State.from_arrays({"a": np.zeros(9)}), own=True)
        print("there", flush=True)
        time.sleep(120)
    """
    local = tmp_path / "local"
    others = [
        subprocess.Popen([sys.executable, "-c", code, local], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        assert [process.stdout.readline() for process in others] == ["there\n"] * 2
        assert len(list(local.glob("nestedga-states-*/1.safetensors"))) == 2
        others[0].send_signal(signal.SIGKILL)
        others[0].wait()
        made()
        assert len(list(local.glob("nestedga-states-*/1.safetensors"))) == 1
        assert len(list(local.glob("nestedga-states-*"))) == 2  # the living one's, and ours
    finally:
        for process in others:
            process.kill()
            process.communicate()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
@settings(max_examples=25)
def test_every_write_to_one_file_is_by_one_thread_at_a_time(members):
    """Put after put without memory: this thread writes at once, and the background thread as well."""
    busy, clashes, save = set(), [], State.save

    def watched(self, path, **options):
        if path in busy:
            clashes.append(path)
        busy.add(path)
        save(self, path, **options)
        busy.discard(path)

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(State, "save", watched)
        cache = StateCache(
            lambda member_id: Path(folder) / f"{member_id}.safetensors",
            memory_limit=0,
            local_folder=None,
            local_limit=None,
        )
        for content, member_id in enumerate(members):
            cache.put(member_id, some_state(content), own=True)
        cache.close()
    assert not clashes
