"""Image records: tar files in the layout of WebDataset (github.com/webdataset/webdataset).

A record is some members that share all of their name before the last part's first dot: ``KEY.jpg`` (or another suffix
of ``encoded.SUFFIXES``) and ``KEY.cls``, which holds the class as a decimal number, or ``KEY.json`` with a ``label``.
Members with other suffixes are left alone.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nestedga.errors import SettingError
from nestedga.training.data.base import Indices
from nestedga.training.data.encoded import DEVIATION, MEAN, SUFFIXES, EncodedImages, printable, skips

OPEN_SHARDS = 64  # files held open; Linux allows a process 1,024 unless told otherwise


class ImageRecords(EncodedImages):
    """``root/train/*.tar`` or ``root/train-*.tar``, and ``test`` (or ``val``) alike; or ``root/*.tar``, cut by us.

    The members are indexed once at start, by every rank: some 50 us a record. Then records are read at random from
    where they lie in the shards; the system keeps what was read in memory, once for all ranks of a node.

    Args:
        root: the folder.
        fitness_size, test_size, size, resize, mean, deviation, on_error: as ``EncodedImages`` has them.

    Raises:
        SettingError: there are no shards; a shard is cut short, a record has no label or no image; with ``on_error:
            skip`` these are named, and what is intact is used.
    """

    def __init__(
        self,
        root: str,
        fitness_size: int,
        test_size: int | None = None,
        size: int = 224,
        resize: int = 256,
        mean: Sequence[float] = MEAN,
        deviation: Sequence[float] = DEVIATION,
        on_error: str = "refuse",
    ) -> None:
        home = Path(root).expanduser()
        skip = skips(on_error)
        train, test = _shards(home, "train"), _shards(home, "test") or _shards(home, "val")
        if not train:
            train, test = sorted(home.glob("*.tar")), []
        elif not test:
            raise SettingError(f"data.root={root} has shards for train but none for test or val; add them")
        if not train:
            raise SettingError(f"data.root={root} has no shards: neither train-*.tar, train/*.tar nor *.tar")
        parts = (Shards(train, skip), Shards(test, skip) if test else None)
        self.num_classes = 1 + max(int(part.targets.max(initial=-1)) for part in parts if part)
        super().__init__(parts, test_size, fitness_size, size, resize, mean, deviation, on_error)


class Records(NamedTuple):
    """Of one shard or of several, in order.

    Attributes:
        shard: its number, shape (n,).
        key: file system encoding, shape (n,).
        place: offset and size of the image in bytes, shape (n, 2).
        label: shape (n,).
    """

    shard: NDArray[np.int32]
    key: NDArray[np.bytes_]
    place: Indices
    label: Indices


class Shards:
    """The records of some tar files.

    Args:
        paths: of the files.
        skip: say so and go on where a record or the rest of a shard cannot be used, rather than refuse.
    """

    def __init__(self, paths: Sequence[Path], skip: bool) -> None:
        parts = []
        for number, path in enumerate(paths):
            records, faults = read_index(path, number)
            for fault in faults:
                text = printable(f"{path}{fault}")
                if not skip:
                    raise SettingError(f"data.root: {text}; mend it, or set data.on_error=skip")
                print(f"nestedga: {text}; left out", flush=True)
            parts.append(records)
        self._paths = paths
        self._records = Records(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        self.targets = self._records.label
        self._open = lru_cache(OPEN_SHARDS)(_File)

    def name(self, index: int) -> str:
        return printable(f"{self._paths[self._records.shard[index]]}: {os.fsdecode(self._records.key[index])}")

    def read(self, index: int) -> bytes:
        offset, size = self._records.place[index].tolist()
        file = self._open(self._paths[self._records.shard[index]])
        # Not from a mapping: that would hold a file open for each shard, and end the process where one has shrunk.
        data = os.pread(file.descriptor, size, offset)
        if len(data) < size:
            raise OSError(f"the shard ends {size - len(data)} bytes too early")
        return data


def read_index(path: Path, number: int) -> tuple[Records, list[str]]:
    """The intact records of shard ``number``, and what is wrong with it, to be put behind its path."""
    images: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    faults: list[str] = []
    try:
        with open(path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            length = os.fstat(file.fileno()).st_size
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                if member.size < 0 or tar.offset <= member.offset:
                    # A header may say so, and tarfile go back by as much, for ever (CVE-2025-8194).
                    faults.append(f" is damaged at byte {member.offset:,}")
                    break
                folder, slash, last = member.name.rpartition("/")
                stem, _, suffix = last.partition(".")
                key, suffix = folder + slash + stem, suffix.lower()
                if not member.isfile() or member.offset_data + member.size > length:
                    continue
                if suffix in SUFFIXES and key in images:
                    faults.append(f": {key} has two images")
                elif suffix in SUFFIXES:
                    images[key] = (member.offset_data, member.size)
                elif suffix in ("cls", "json"):
                    label = _label(_content(tar, member), suffix)
                    if label is not None:
                        labels[key] = label
            else:
                # Of a damaged header, tarfile makes a quiet end; a true one is a block of zeros.
                if os.pread(file.fileno(), tarfile.BLOCKSIZE, tar.offset) != bytes(tarfile.BLOCKSIZE):
                    faults.append(f" is cut short or damaged at byte {tar.offset:,}")
    except (OSError, ValueError, OverflowError, RecursionError, tarfile.TarError) as error:
        # Not only tarfile's own: of what it reads in a header, it trusts most.
        faults.append(f" is no intact, uncompressed tar file ({error})")
    faults += [
        f': {key} has no label, a whole number from 0 in .cls or as "label" in .json'
        for key in images
        if key not in labels
    ]
    faults += [f": {key} has no image ({', '.join(SUFFIXES)})" for key in labels if key not in images]
    keys = [key for key in images if key in labels]
    return Records(
        np.full(len(keys), number, np.int32),
        np.array([os.fsencode(key) for key in keys], np.bytes_),
        np.array([images[key] for key in keys], np.int64).reshape(-1, 2),
        np.array([labels[key] for key in keys], np.int64),
    ), faults


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None, "an ordinary member has content"
    return file.read()


def _label(content: bytes, suffix: str) -> int | None:
    try:
        value = int(content) if suffix == "cls" else json.loads(content)["label"]
    except (ValueError, KeyError, TypeError, RecursionError):  # the last: too deep a json
        return None
    return value if type(value) is int and 0 <= value < 2**31 else None


def _shards(home: Path, split: str) -> list[Path]:
    return sorted([*home.glob(f"{split}-*.tar"), *home.glob(f"{split}/*.tar")])


class _File:
    """A file that is closed when nobody holds it any more: another thread may read one that has lost its place."""

    def __init__(self, path: Path) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
