"""Networks that tests train."""

from __future__ import annotations

import os

from nestedga.training.models.small_cnn import SmallCNN


class RaisesOnOneRank(SmallCNN):
    """Raises on world rank 1 alone, after some steps, while its partners wait for it in an allreduce."""

    steps = 0

    def forward(self, images):
        if self.training and os.environ.get("OMPI_COMM_WORLD_RANK") == "1":
            RaisesOnOneRank.steps += 1
            if RaisesOnOneRank.steps % 20 == 10:
                raise MemoryError("no room on this rank")
        return super().forward(images)
