"""Classification: nothing asked for is plain cross entropy; what does not count counts nowhere."""

import pytest
import torch
from torch.nn import functional

from nestedga.errors import SettingError
from nestedga.training.data.base import IGNORED
from nestedga.training.tasks.classification import Classification


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.randn(12, 1, 8, 8), torch.randint(5, (12,))


@pytest.fixture
def model():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 5))


def test_nothing_asked_for_is_cross_entropy(model, images):
    inputs, targets = images
    plain = functional.cross_entropy(model(inputs), targets, reduction="sum")
    assert torch.equal(Classification().loss(model, inputs, targets), plain)
    smoothed = Classification(label_smoothing=1e-6).loss(model, inputs, targets)
    torch.testing.assert_close(smoothed, plain, rtol=1e-4, atol=1e-4)
    torch.manual_seed(3)
    mixed = Classification(mixup=1e-5).loss(model, inputs, targets)  # a share of 0 or 1: all are swapped, or none
    torch.testing.assert_close(mixed, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.1}, {"mixup": 1.0}, {"cutmix": 1.0}])
def test_samples_that_do_not_count_count_nowhere(model, images, settings):
    inputs, targets = images
    targets = targets.clone()
    targets[[2, 7]] = IGNORED
    task = Classification(**settings)

    def both(inputs):
        torch.manual_seed(5)
        return task.loss(model, inputs, targets), task.measure(model, inputs, targets)

    spoilt = inputs.clone()
    spoilt[[2, 7]] = 1e6
    (loss, measured), (other_loss, other_measured) = both(inputs), both(spoilt)
    assert torch.equal(loss, other_loss)
    assert {name: value.item() for name, value in measured.items()} == {
        name: value.item() for name, value in other_measured.items()
    }
    assert measured["accuracy"] + measured["error"] == 10


@pytest.mark.parametrize("settings", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_the_targets_are_mixed_as_the_images_are(settings):
    inputs, targets = torch.arange(12.0)[:, None, None, None].expand(12, 3, 8, 8), torch.arange(12)
    outputs, seen = torch.randn(12, 12), []

    def model(mixed):
        seen.append(mixed)
        return outputs

    for seed in range(5):
        torch.manual_seed(seed)
        loss = Classification(**settings).loss(model, inputs, targets)
        torch.manual_seed(seed)
        order = torch.randperm(12)
        assert (order != targets).any()
        # What is left of its own in a sample's mean colour.
        own, other = inputs[:, 0, 0, 0], inputs[order, 0, 0, 0]
        shares = ((seen[-1].mean((1, 2, 3)) - other) / (own - other))[own != other]
        assert shares.std() < 1e-5 and 0.0 <= shares[0] <= 1.0
        expected = sum(
            share * functional.cross_entropy(outputs, mixed_in, reduction="sum")
            for share, mixed_in in ((shares[0], targets), (1 - shares[0], targets[order]))
        )
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, x: Classification().measure(model, x, torch.tensor([0, 5, 1])), "from 0 to 5, and model"),
        (lambda model, x: Classification().measure(model, x, torch.tensor([0, -1, 1])), "from -1 to 1, and model"),
        (lambda model, x: Classification().measure(model, x, torch.rand(3)), "needs whole numbers"),
        (lambda model, x: Classification().measure(model, x, torch.zeros(3, 2, dtype=int)), r"shape \(3, 2\)"),
        (lambda model, x: Classification(cutmix=1.0).loss(model, x, torch.zeros(3, dtype=int)), "needs images"),
        (lambda model, x: Classification(label_smoothing=1.0), "task.label_smoothing=1 must"),
        (lambda model, x: Classification(mixup=-1.0), "task.mixup=-1 must"),
    ],
)
def test_what_does_not_fit_is_named(model, call, message):
    with pytest.raises(SettingError, match=message):
        call(model, torch.randn(3, 64))
