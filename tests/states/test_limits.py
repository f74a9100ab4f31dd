"""Sizes are read as meant, and what is none is refused in one line."""

import os

import pytest

from nestedga.errors import SettingError
from nestedga.job.configuration import Configuration
from nestedga.states.limits import StateLimits, StatesConfig, memory_bytes, parse_size


@pytest.mark.parametrize(
    ("value", "num_bytes"),
    [
        (None, None),
        (0, 0),
        (123, 123),
        ("123", 123),
        (1e9, 10**9),
        ("1e9", 10**9),
        ("512MB", 512 * 10**6),
        ("1.5 kB", 1500),
        ("4GiB", 4 * 2**30),
        ("2tb", 2 * 10**12),
        ("25%", 250),
    ],
)
def test_sizes(value, num_bytes):
    assert parse_size("states.memory_limit", value, whole=1000) == num_bytes


@pytest.mark.parametrize("value", ["", "GB", "4XB", -1, True, "inf", "5%%", "4GB 2MB", [1]])
def test_what_is_no_size_is_refused(value):
    with pytest.raises(SettingError) as caught:
        parse_size("states.memory_limit", value, whole=1000)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"states.memory_limit={value} is no size; use")


def test_a_share_of_what_is_not_known_is_refused():
    with pytest.raises(SettingError, match=r"states.local_limit=50% is no size; use bytes, a size such as"):
        StateLimits.from_config(StatesConfig(None, None, "50%"), 1)


def test_the_default_leaves_half_of_the_node_whatever_leads():
    section = Configuration([]).settings.states
    assert StateLimits.from_config(section, 4) == StateLimits(memory_bytes() // 8, None, None)


def test_ranks_share_evenly_and_variables_are_read(monkeypatch, tmp_path):
    monkeypatch.setenv("NODE_DISK", str(tmp_path))
    section = Configuration(
        ["states.memory_limit=8GB", "states.local_dir=$NODE_DISK/states", "states.local_limit=100GB"]
    ).settings.states
    assert StateLimits.from_config(section, 4) == StateLimits(2 * 10**9, tmp_path / "states", 25 * 10**9)
    monkeypatch.delenv("NODE_DISK")
    with pytest.raises(SettingError, match=r"states.local_dir=\$NODE_DISK/states has a variable that is not set"):
        StateLimits.from_config(section, 4)


@pytest.mark.parametrize(
    ("line", "file", "limit"),
    [
        ("0::/job_1/step_0/task_0", "job_1/memory.max", "5000"),
        ("0::/job_1/step_0", "memory.max", "5000"),  # in a container, the mount is the container's own
        ("3:cpu,memory:/job_1/step_0", "memory/job_1/step_0/memory.limit_in_bytes", "5000"),
        ("0::/job_1", "job_1/memory.max", "max"),
        ("2:cpu:/job_1", "job_1/memory.max", "5000"),
    ],
)
def test_the_limit_of_a_batch_system_or_container_counts(tmp_path, line, file, limit):
    (tmp_path / "cgroup").write_text(f"{line}\n")
    path = tmp_path / "mount" / file
    path.parent.mkdir(parents=True)
    path.write_text(f"{limit}\n")
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    expected = 5000 if limit == "5000" and not line.startswith("2:") else machine
    assert memory_bytes(tmp_path / "cgroup", tmp_path / "mount") == expected
