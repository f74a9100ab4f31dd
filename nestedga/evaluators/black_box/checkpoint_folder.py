"""A folder of files as a state, so that what a script saves is fetched, kept and resumed like any network's weights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from nestedga.states.state import State

PREFIX = "files/"  # so that no file's name is one that safetensors keeps to itself


def pack(folder: Path) -> State:
    """Its files with their paths inside it; modes and times, and folders without files, are left behind.

    Raises:
        ValueError: it is empty, or holds what cannot be inherited: a link, a device, a name that is no text.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise ValueError("{checkpoint_out} is no folder any more")
    sizes = dict(sorted(_sizes(folder)))
    if not sizes:
        raise ValueError("it left no file in {checkpoint_out}")
    entries, buffer = State.allocate((PREFIX + name, "uint8", (size,), size) for name, size in sizes.items())
    for entry in entries:
        with open(folder / entry.name.removeprefix(PREFIX), "rb") as file:
            num_bytes = file.readinto(buffer[entry.offset : entry.offset + entry.num_bytes].data)
        assert num_bytes == entry.num_bytes, "nobody is left who could write"
    return State.seal(entries, buffer)


def unpack(state: State, folder: Path) -> None:
    """The reverse.

    Raises:
        ValueError: it is no state of files, or a path in it leads out of the folder.
    """
    for entry in state.entries:
        name = PurePosixPath(entry.name.removeprefix(PREFIX))
        if not entry.name.startswith(PREFIX) or name.is_absolute() or ".." in name.parts:
            raise ValueError(f"the parent's state holds {entry.name!r}, which is no file inside a checkpoint's folder")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(state.bytes_of(entry).data)


def _sizes(folder: Path, at: str = "") -> Iterator[tuple[str, int]]:
    """Every file below with its size in bytes."""
    with os.scandir(folder) as found:
        for one in found:
            name = at + one.name
            try:
                name.encode()
            except UnicodeEncodeError:
                raise ValueError(f"{{checkpoint_out}} holds {name!r}, a name that is no UTF-8") from None
            if one.is_dir(follow_symlinks=False):
                yield from _sizes(Path(one.path), f"{name}/")
            elif one.is_file(follow_symlinks=False):
                yield name, one.stat(follow_symlinks=False).st_size
            else:
                kind = "symbolic link" if one.is_symlink() else "special file"
                raise ValueError(f"{{checkpoint_out}} holds the {kind} {name}; only files and folders can be inherited")
