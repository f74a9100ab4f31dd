"""What is packed comes back by name, whatever the device."""

import pytest
import torch

from nestedga.states.state import checksum_of
from nestedga.training.state import pack, unpack

COUNTERS = {"steps": 30, "samples": 1920}
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
    state = pack(model, optimizer, COUNTERS)
    assert state.checksum == checksum_of(state.entries, [state.buffer])
    other, others_optimizer = trained(device, 2)
    assert unpack(state, other, others_optimizer) == COUNTERS
    again = pack(other, others_optimizer, COUNTERS)
    assert again.checksum == state.checksum
    steps = [values["step"] for values in others_optimizer.state.values()]
    assert len(steps) == 6 and all(step == 1 and step.device.type == "cpu" for step in steps)


@pytest.mark.parametrize("device", DEVICES)
def test_training_on_changes_no_state(device):
    model, optimizer = trained(device, 1)
    state = pack(model, optimizer, COUNTERS)
    unpack(state, model, optimizer)
    model(torch.rand(8, 3, device=device)).square().sum().backward()
    optimizer.step()
    assert state.checksum == checksum_of(state.entries, [state.buffer])


@pytest.mark.parametrize("device", DEVICES)
def test_what_does_not_fit_stays_as_built(device):
    model, optimizer = trained(device, 1, width=7)
    before = model[0].weight.detach().clone()
    unpack(pack(*trained(device, 2), COUNTERS), model, optimizer)
    assert torch.equal(model[0].weight, before)
    assert set(optimizer.state) == {model[2].bias}


@pytest.mark.parametrize("device", DEVICES)
def test_others_come_back_by_name_and_keep_their_value_where_the_state_has_none(device):
    model, optimizer = trained(device, 1)
    others = {
        "ema/0.weight": torch.rand(5, 3, device=device),
        "scaler/scale": torch.tensor(1024.0, dtype=torch.float64),
    }
    state = pack(model, optimizer, COUNTERS, others)
    mine = {name: torch.zeros_like(tensor) for name, tensor in {**others, "ema/new": torch.rand(3)}.items()}
    unpack(state, model, optimizer, mine)
    assert all(torch.equal(mine[name], tensor) for name, tensor in others.items()) and not mine["ema/new"].any()


def test_momentum_has_the_strides_of_its_weights():
    model = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    before = optimizer.state[model.weight]["momentum_buffer"].clone()
    unpack(pack(model, optimizer, COUNTERS), model, optimizer)
    after = optimizer.state[model.weight]["momentum_buffer"]
    assert torch.equal(after, before) and after.stride() == model.weight.stride()
