"""A search that thinks for long about all but its first members."""

from __future__ import annotations

import time
from typing import ClassVar

from nestedga.search.sampling.sampling import Sampling


class Pondering(Sampling):
    slow: ClassVar[bool] = True

    def ask(self, n):
        time.sleep(9.0 if self._next_id else 0.0)
        return super().ask(n)
