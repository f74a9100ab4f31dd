"""Averaged weights stand in for a while, and what was there comes back."""

import torch
from torch import nn

from nestedga.training.average import Average


def test_after_the_exchange_all_is_as_before_also_where_weights_have_two_names():
    one = nn.Linear(3, 3)
    model = nn.Sequential(one, nn.BatchNorm1d(3), one)
    average = Average(model)
    with torch.no_grad():
        one.weight.add_(1.0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with average.in_place():
        assert not torch.equal(one.weight, before["0.weight"])
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
