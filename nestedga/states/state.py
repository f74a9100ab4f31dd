"""A member's state: everything a child can inherit, in one flat host buffer with a manifest."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from isal import isal_zlib
from numpy.typing import NDArray
from safetensors import TensorSpec

from nestedga.states import buffers

ALIGNMENT = 64  # bytes; a cache line, and enough for any dtype's view


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor in the buffer.

    Attributes:
        name: as in "weights/conv.weight".
        dtype: torch's name without the prefix, as in "float32" or "bfloat16".
        shape: of the tensor.
        offset: of its first byte.
        num_bytes: how many belong to it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class State:
    """Manifest and buffer, shape (num_bytes,), uint8; never changed once made."""

    entries: tuple[Entry, ...]
    buffer: NDArray[np.uint8]
    checksum: int

    @classmethod
    def allocate(
        cls, tensors: Iterable[tuple[str, str, tuple[int, ...], int]]
    ) -> tuple[tuple[Entry, ...], NDArray[np.uint8]]:
        """Lays out tensors given as (name, dtype, shape, num_bytes): manifest and a buffer to fill."""
        entries, end = [], 0
        for name, dtype, shape, num_bytes in tensors:
            entries.append(Entry(name, dtype, shape, end, num_bytes))
            end += -(-num_bytes // ALIGNMENT) * ALIGNMENT
        return tuple(entries), buffers.empty(end)

    @classmethod
    def seal(cls, entries: tuple[Entry, ...], buffer: NDArray[np.uint8]) -> State:
        """Closes a buffer with all entries filled: from now on it is only read."""
        ends = [entry.offset + entry.num_bytes for entry in entries]
        for end, border in zip(ends, [*(entry.offset for entry in entries[1:]), buffer.size], strict=True):
            buffer[end:border] = 0  # between entries lies what the memory was used for before
        buffer.flags.writeable = False
        return cls(entries, buffer, checksum_of(entries, [buffer]))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> State:
        """From numpy arrays, for evaluators that have no torch."""
        entries, buffer = cls.allocate(
            (name, array.dtype.name, array.shape, array.nbytes) for name, array in arrays.items()
        )
        for entry, array in zip(entries, arrays.values(), strict=True):
            content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            buffer[entry.offset : entry.offset + entry.num_bytes] = content
        return cls.seal(entries, buffer)

    def bytes_of(self, entry: Entry) -> NDArray[np.uint8]:
        return self.buffer[entry.offset : entry.offset + entry.num_bytes]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The reverse of ``from_arrays``; read-only views."""
        return {entry.name: self.bytes_of(entry).view(entry.dtype).reshape(entry.shape) for entry in self.entries}

    def save(self, path: Path, *, sync: bool = True) -> None:
        """Writes a safetensors file beside, syncs it and renames it: the name never stands for half a file.

        Args:
            path: the file's.
            sync: False for a file that need not outlive the machine.

        Raises:
            OSError: the disk does not take it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        start = self.buffer.ctypes.data
        tensors = {
            entry.name: TensorSpec(
                dtype=entry.dtype,
                shape=list(entry.shape),
                data_ptr=start + entry.offset,
                data_len=entry.num_bytes,
            )
            for entry in self.entries
        }
        metadata = {
            "checksum": str(self.checksum),
            "order": json.dumps([entry.name for entry in self.entries]),
        }
        # Of this process alone: a member that is trained again may be written by two.
        beside = path.with_name(f"{path.stem}.{platform.node()}.{os.getpid()}.writing")
        try:
            safetensors.serialize_file(tensors, beside, metadata)
        except safetensors.SafetensorError as error:  # a full disk is one, too
            beside.unlink(missing_ok=True)
            raise OSError(str(error)) from error
        if sync:
            with open(beside, "rb") as file:
                os.fsync(file.fileno())
        os.replace(beside, path)

    @classmethod
    def load(cls, path: Path) -> State | None:
        """The state in a file; None where the file is missing or damaged."""
        try:
            content = path.read_bytes()
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            tensors = dict(safetensors.deserialize(content))  # type: ignore[no-untyped-call]
            order = json.loads(header["__metadata__"]["order"])
            entries, buffer = cls.allocate(
                (
                    name,
                    _DTYPES[tensors[name]["dtype"]],
                    tuple(tensors[name]["shape"]),
                    len(tensors[name]["data"]),
                )
                for name in order
            )
            for entry in entries:
                buffer[entry.offset : entry.offset + entry.num_bytes] = np.frombuffer(
                    tensors[entry.name]["data"], np.uint8
                )
            state = cls.seal(entries, buffer)
            return state if str(state.checksum) == header["__metadata__"]["checksum"] else None
        except (OSError, KeyError, ValueError, safetensors.SafetensorError):
            return None


def checksum_of(entries: tuple[Entry, ...], pieces: Iterable[NDArray[np.uint8]]) -> int:
    """CRC-32 of a manifest and a buffer; the buffer may come in pieces, each taken in as it arrives."""
    manifest = "\n".join(f"{entry.name} {entry.dtype} {entry.shape}" for entry in entries)
    checksum = isal_zlib.crc32(manifest.encode())
    for piece in pieces:
        checksum = isal_zlib.crc32(piece.data, checksum)
    return checksum


_DTYPES = {  # safetensors' names to torch's
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
