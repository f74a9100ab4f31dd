"""16 bits, another layout in memory or compiled code: nearly the same training."""

import json
import re
import shutil

import pytest
import torch

from nestedga.errors import SettingError
from nestedga.training.checks import check_compiler
from nestedga.training.precision import Precision

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


def test_a_rank_without_a_piece_takes_part_in_a_step_of_fp16():
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.grad = torch.full((2,), 2.0**16)  # scaled, from the others
    precision = Precision("fp16", torch.device("cpu"))
    precision.step(torch.optim.SGD([parameter], lr=1.0), parameter.grad, None)
    assert parameter.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("device", "compiler"), [("cpu", "g++"), ("cuda", "gcc")])
def test_a_compiler_that_is_not_there_is_named(monkeypatch, device, compiler):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SettingError, match=f"neither {re.escape(compiler)} nor clang"):
        check_compiler(torch.device(device))


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
def test_compiled_models_train_alike_and_keep_their_names(mpi):
    check(mpi("training/precision_program.py", 0, *COMPILED, limit=280))
