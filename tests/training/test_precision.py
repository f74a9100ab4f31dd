"""16 bits, another layout in memory or compiled code: nearly the same training."""

import json
import shutil

import pytest

WAYS = ("training.precision=bf16", "training.precision=fp16", "training.channels_last=true")
COMPILED = ("training.compile=true", "training.compile=true training.precision=bf16 training.channels_last=true")


def check(answer):
    losses = json.loads(answer.splitlines()[-1])
    expected = losses.pop("training.precision=fp32")
    assert losses and expected < 1.0, "it has learnt something"
    for way, loss in losses.items():
        assert loss == pytest.approx(expected, rel=1e-3 if "16" not in way else 5e-2), way


def test_precision_and_layout_train_alike(mpi):
    check(mpi("training/precision_program.py", 0, *WAYS))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_compiled_models_train_alike_and_keep_their_names(mpi):
    check(mpi("training/precision_program.py", 0, *COMPILED, limit=280))
