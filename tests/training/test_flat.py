"""The step buffer gives what plain training with batch norm gives."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from nestedga.training.flat import StepBuffer


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 16, 3))


def step(model, inputs, targets, parts, counted=None):
    """One step of a batch cut into parts; gives the buffer."""
    buffer = StepBuffer(model)
    buffer.begin_step()
    for part in parts:
        buffer.begin_piece()
        loss = functional.cross_entropy(model(inputs[part]), targets[part], reduction="sum")
        (loss / len(inputs)).backward()
        buffer.end_piece(loss, len(inputs[part]) if counted is None else counted)
    buffer.average(len(inputs))
    return buffer


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_one_piece_equals_plain_training(layout):
    torch.manual_seed(1)
    inputs, targets = torch.randn(8, 1, 8, 8), torch.randint(3, (8,))
    plain, ours = network(), network().to(memory_format=layout)
    plain_loss = functional.cross_entropy(plain(inputs), targets)
    plain_loss.backward()
    buffer = step(ours, inputs.contiguous(memory_format=layout), targets, [slice(0, 8)])
    for a, b in zip(plain.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
        assert b.grad.stride() == b.stride() and b.grad.untyped_storage().data_ptr() == buffer.sums.data_ptr()
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(plain[2], name), getattr(ours[2], name))
    torch.testing.assert_close(buffer.loss, plain_loss.detach())
    assert buffer.sums.is_contiguous(), "Horovod asks for it"


def test_pieces_are_averaged_by_their_samples():
    torch.manual_seed(1)
    inputs, targets = torch.randn(9, 1, 8, 8), torch.randint(3, (9,))
    ours, expected, parts = network(), torch.zeros(4), (slice(0, 6), slice(6, 9))
    for part in parts:
        alone = network()
        alone(inputs[part])
        expected += alone[2].running_mean * len(inputs[part]) / 9
    step(ours, inputs, targets, parts)
    torch.testing.assert_close(ours[2].running_mean, expected)


def test_samples_that_do_not_count_are_no_part_of_the_mean():
    torch.manual_seed(1)
    inputs, targets = torch.randn(8, 1, 8, 8), torch.randint(3, (8,))
    targets[[1, 4, 5]] = -100
    plain, ours = network(), network()
    plain_loss = functional.cross_entropy(plain(inputs), targets)  # the mean over those that count
    plain_loss.backward()
    buffer = step(ours, inputs, targets, [slice(0, 8)], counted=5)
    torch.testing.assert_close(buffer.loss, plain_loss.detach())
    for a, b in zip(plain.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_a_step_in_which_nothing_counts_changes_nothing():
    torch.manual_seed(1)
    model = network()
    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    inputs, targets = torch.randn(8, 1, 8, 8), torch.full((8,), -100)
    buffer = step(model, inputs, targets, [slice(0, 4), slice(4, 8)], counted=0)
    assert not buffer.gradients.any() and buffer.loss == 0.0
    for name in ("2.running_mean", "2.running_var"):
        torch.testing.assert_close(dict(model.named_buffers())[name], before[name])


def test_norms_count_steps_and_not_pieces():
    model = network()
    step(model, torch.randn(8, 1, 8, 8), torch.randint(3, (8,)), [slice(0, 2), slice(2, 4), slice(4, 8)])
    assert int(model[2].num_batches_tracked) == 1
