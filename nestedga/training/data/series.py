"""Series: rows of numbers, one after the other in time, from a CSV file."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nestedga.errors import SettingError
from nestedga.training.data.base import SPLITS, Indices
from nestedga.training.data.parts import cut

Rows = NDArray[np.float64]  # shape (rows, columns)


class Series:
    """Windows of a series, and what follows them. The splits come one after the other in time.

    A sample is a window, float32 of shape (window, columns), and the targets after it, (horizon, columns). There is one
    for each row from which its targets stay in the split; the window before them may reach back into an earlier split,
    which is known by then.

    Args:
        path: a CSV file, delimited by tabs or semicolons where its first row has one, else by commas, with or without
            a header; decimals have a point; columns without a number, such as dates, are ignored. None: 12,000
            potentials across the membrane of a nerve cell, one every 0.5 ms, which matplotlib ships (its first logo was
            drawn with them).
        columns: name or number (from 0) of a column, or a list of them; None: all that hold numbers.
        window: rows that the model sees.
        horizon: rows that it forecasts.
        fitness_share, test_share: of the rows; the test split is the end of the series, fitness what comes before it.

    Attributes:
        mean, deviation: of the training part, shape (columns,); ``value * deviation + mean`` undoes the normalisation.

    Raises:
        SettingError: the file cannot be read, a value is missing, a column is constant, or the series is too short.
    """

    def __init__(
        self,
        path: str | None = None,
        columns: str | int | Sequence[str | int] | None = None,
        window: int = 48,
        horizon: int = 8,
        fitness_share: float = 0.15,
        test_share: float = 0.15,
    ) -> None:
        if window < 1 or horizon < 1:
            raise SettingError(f"data.window={window} and data.horizon={horizon} must be 1 or more")
        if path is None and columns is not None:
            raise SettingError(f"data.columns={columns} needs a data.path; the series without one has a single column")
        names, rows = _membrane() if path is None else read_csv(Path(path).expanduser(), columns)
        borders = cut(len(rows), fitness_share, test_share)
        self._before, self._after = torch.arange(-window, 0), torch.arange(horizon)
        self._first: dict[str, Indices] = {}  # the row of each sample's first target
        for split, begin, end in zip(SPLITS, borders, borders[1:], strict=False):
            self._first[split] = np.arange(max(begin, window), end - horizon + 1)
            if not len(self._first[split]):
                raise SettingError(
                    f"data.window={window} and data.horizon={horizon} leave no {split} sample: that split has "
                    f"{end - begin} of {len(rows)} rows; use shorter ones or another share"
                )
        train = rows[: borders[1]]
        for name, least, most in zip(names, train.min(0), train.max(0), strict=True):
            if least == most:
                raise SettingError(f"data.path={path}: column {name} is constant in training; leave it out")
        self.mean, self.deviation = train.mean(0), train.std(0)
        self._values = torch.from_numpy(((rows - self.mean) / self.deviation).astype(np.float32))

    def size(self, split: str) -> int:
        return len(self._first[split])

    def batch(self, split: str, indices: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        first = torch.from_numpy(self._first[split][indices])[:, None]
        return self._values[first + self._before], self._values[first + self._after]


def read_csv(path: Path, columns: str | int | Sequence[str | int] | None = None) -> tuple[list[str], Rows]:
    """Names of the columns, and the numbers of a CSV file.

    Args:
        path: of the file.
        columns: as ``Series`` takes them.

    Raises:
        SettingError: naming the file and, where there is one, the line and column that are not as they should be.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            delimiter = next((mark for mark in "\t;" if mark in first), ",")  # a comma may be a decimal one
            file.seek(0)
            lines = list(csv.reader(file, delimiter=delimiter, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingError(f"data.path={path} cannot be read as CSV: {error}") from error
    while lines and not lines[-1]:
        lines.pop()
    width = len(lines[0]) if lines else 0
    for number, line in enumerate(lines, 1):
        if len(line) != width:
            raise SettingError(f"data.path={path}: row {number} has {len(line)} fields and row 1 has {width}; mend it")
    if columns is None:
        _refuse_commas(path, lines)
    with_numbers = [at for at in range(width) if any(_number(line[at]) is not None for line in lines[1:])]
    if not with_numbers:
        raise SettingError(f"data.path={path}: no column holds numbers; is this a CSV file?")
    has_header = all(_number(lines[0][at]) is None for at in with_numbers)
    names = lines[0] if has_header else [str(at) for at in range(width)]
    if columns is None:
        chosen = with_numbers
    else:
        wanted = [columns] if isinstance(columns, str | int) else columns
        chosen = [_position(path, column, names) for column in wanted]
    rows = np.empty((len(lines) - has_header, len(chosen)))
    for number, line in enumerate(lines[has_header:]):
        for place, at in enumerate(chosen):
            value = _number(line[at])
            if value is None:
                raise SettingError(
                    f"data.path={path}: row {number + has_header + 1}, column {names[at]} holds {line[at]!r} where a "
                    "number belongs; fill it, leave the row out, or choose other data.columns"
                )
            rows[number, place] = value
    return [names[at] for at in chosen], rows


def _refuse_commas(path: Path, lines: Sequence[Sequence[str]]) -> None:
    """A column of such numbers would be taken for one without any, and ignored."""
    for number, line in enumerate(lines, 1):
        for text in line:
            if "," in text and _number(text.replace(",", "")) is not None:
                raise SettingError(
                    f"data.path={path}: row {number} holds {text!r}; write decimals with a point and nothing between "
                    "thousands, or name the columns to be used in data.columns"
                )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _position(path: Path, column: str | int, names: Sequence[str]) -> int:
    if column in names:
        return names.index(str(column))
    if isinstance(column, int) and 0 <= column < len(names):
        return column
    raise SettingError(f"data.columns={column} is no column of {path}; it has {', '.join(names)}")


def _membrane() -> tuple[list[str], Rows]:
    """Found without importing matplotlib, which takes its time and is for reports alone."""
    package = find_spec("matplotlib")
    assert package is not None and package.origin is not None, "matplotlib is a dependency"
    path = Path(package.origin).parent / "mpl-data" / "sample_data" / "membrane.dat"
    try:
        return ["potential"], np.fromfile(path, np.float32).astype(np.float64)[:, None]
    except OSError as error:
        raise SettingError(f"data.path is null and this matplotlib has no {path}; name a CSV file") from error
