"""Text, character by character."""

from __future__ import annotations

from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import torch

from nestedga.errors import SettingError
from nestedga.training.data.base import SPLITS, Indices
from nestedga.training.data.parts import cut

UNKNOWN = 0  # the index of all characters that the vocabulary has no place for


class Text:
    """Windows of a text, and the same windows one character later. The splits come one after the other in the text.

    A sample is the indices of ``context`` characters, int64, and those of the character after each, both of shape
    (context,). Windows of the fitness and test splits do not overlap, so that each character is a target once; what is
    left at the end of a split and fills no window is left out. Targets never leave their split.

    Args:
        path: a text in UTF-8. None: the language reference that Python ships for its ``help()``, about 465,000
            characters; it differs a little from one Python to the next.
        context: characters that the model sees.
        stride: characters from one training window to the next.
        vocabulary_size: indices; the most frequent characters of the training part get one each, the rest share one.
        fitness_share, test_share: of the characters; test is the end of the text, fitness what comes before it.

    Attributes:
        vocabulary: the character of each index, with U+FFFD for all others and for indices without one.
        num_classes: indices, as ``vocabulary_size`` has it.

    Raises:
        SettingError: the file cannot be read, or the text is too short.
    """

    def __init__(
        self,
        path: str | None = None,
        context: int = 64,
        stride: int = 16,
        vocabulary_size: int = 128,
        fitness_share: float = 0.1,
        test_share: float = 0.1,
    ) -> None:
        if context < 1 or stride < 1:
            raise SettingError(f"data.context={context} and data.stride={stride} must be 1 or more")
        if vocabulary_size < 2:
            raise SettingError(f"data.vocabulary_size={vocabulary_size} must be 2 or more: one is for the unknown")
        text = "\n".join(topics[name] for name in sorted(topics)) if path is None else _read(Path(path).expanduser())
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        borders = cut(len(points), fitness_share, test_share)
        self._steps = torch.arange(context)
        self._first: dict[str, Indices] = {}  # where each window of inputs begins, one character before its targets
        for split, begin, end in zip(SPLITS, borders, borders[1:], strict=False):
            step = stride if split == "train" else context
            self._first[split] = np.arange(max(begin - 1, 0), end - context, step)
            if not len(self._first[split]):
                raise SettingError(
                    f"data.context={context} leaves no {split} sample: that split has {end - begin} of {len(points)} "
                    "characters; use a shorter context or another share"
                )
        self.num_classes = vocabulary_size
        known, counts = np.unique(points[: borders[1]], return_counts=True)
        known = np.sort(known[np.argsort(-counts, kind="stable")[: vocabulary_size - 1]])
        self.vocabulary = "\ufffd" + "".join(map(chr, known)) + "\ufffd" * (vocabulary_size - 1 - len(known))
        place = np.searchsorted(known, points).clip(max=len(known) - 1)
        self._indices = torch.from_numpy(np.where(known[place] == points, place + 1, UNKNOWN).astype(np.int32))

    def size(self, split: str) -> int:
        return len(self._first[split])

    def batch(self, split: str, indices: Indices) -> tuple[torch.Tensor, torch.Tensor]:
        at = torch.from_numpy(self._first[split][indices])[:, None] + self._steps
        return self._indices[at].long(), self._indices[at + 1].long()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"data.path={path} cannot be read as text in UTF-8: {error}") from error
