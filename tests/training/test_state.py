"""What is packed comes back by name, whatever the device."""

import pytest
import torch

from nestedga.state import checksum_of
from nestedga.training.state import pack, unpack

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))]


def trained(device, seed, width=5):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 2))
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.rand(8, 3, device=device)).square().sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("device", DEVICES)
def test_a_state_comes_back_as_it_was_packed(device):
    model, optimizer = trained(device, 1)
    state = pack(model, optimizer, {"epochs": 2, "steps": 30})
    assert state.checksum == checksum_of(state.entries, [state.buffer])
    other, others_optimizer = trained(device, 2)
    assert unpack(state, other, others_optimizer) == {"epochs": 2, "steps": 30}
    again = pack(other, others_optimizer, {"epochs": 2, "steps": 30})
    assert again.checksum == state.checksum
    steps = [values["step"] for values in others_optimizer.state.values()]
    assert len(steps) == 6 and all(step == 1 and step.device.type == "cpu" for step in steps)


@pytest.mark.parametrize("device", DEVICES)
def test_training_on_changes_no_state(device):
    model, optimizer = trained(device, 1)
    state = pack(model, optimizer, {"epochs": 2, "steps": 30})
    unpack(state, model, optimizer)
    model(torch.rand(8, 3, device=device)).square().sum().backward()
    optimizer.step()
    assert state.checksum == checksum_of(state.entries, [state.buffer])


@pytest.mark.parametrize("device", DEVICES)
def test_what_does_not_fit_stays_as_built(device):
    model, optimizer = trained(device, 1, width=7)
    before = model[0].weight.detach().clone()
    unpack(pack(*trained(device, 2), {"epochs": 2, "steps": 30}), model, optimizer)
    assert torch.equal(model[0].weight, before)
    assert set(optimizer.state) == {model[2].bias}
