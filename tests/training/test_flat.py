"""The step buffer gives what plain training with batch norm gives."""

import torch
from torch import nn
from torch.nn import functional

from nestedga.training.flat import StepBuffer


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))


def test_one_piece_equals_plain_training():
    torch.manual_seed(1)
    inputs, targets = torch.randn(8, 1, 8, 8), torch.randint(3, (8,))
    plain, ours = network(), network()
    functional.cross_entropy(plain(inputs), targets).backward()
    buffer = StepBuffer(ours)
    buffer.begin_step()
    buffer.begin_piece()
    loss = functional.cross_entropy(ours(inputs), targets, reduction="sum")
    loss.backward()
    buffer.end_piece(loss, 8)
    buffer.average(8)
    for a, b in zip(plain.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(plain[1], name), getattr(ours[1], name))
    assert torch.isclose(buffer.loss, loss.detach() / 8)


def test_pieces_are_averaged_by_their_samples():
    torch.manual_seed(1)
    inputs, targets = torch.randn(9, 1, 8, 8), torch.randint(3, (9,))
    ours = network()
    buffer = StepBuffer(ours)
    buffer.begin_step()
    expected = torch.zeros(4)
    for part in (slice(0, 6), slice(6, 9)):
        alone = network()
        alone(inputs[part])
        expected += alone[1].running_mean * len(inputs[part]) / 9
        buffer.begin_piece()
        loss = functional.cross_entropy(ours(inputs[part]), targets[part], reduction="sum")
        loss.backward()
        buffer.end_piece(loss, len(inputs[part]))
    buffer.average(9)
    torch.testing.assert_close(ours[1].running_mean, expected)
