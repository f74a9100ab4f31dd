"""Networks have the sizes that their papers give."""

import pytest
import torch

from nestedga.errors import SettingError
from nestedga.training.models.resnet import ResNet


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
@pytest.mark.parametrize("skip", [True, False])
def test_parameter_counts_of_he_et_al_table_6(depth, millions, skip):
    count = sum(parameter.numel() for parameter in ResNet(depth, skip=skip).parameters())
    digits = len(str(millions).split(".")[1])
    assert round(count / 1e6, digits) == millions


def test_depths_that_are_not_6n_plus_2_are_refused():
    with pytest.raises(SettingError, match="model.depth=21 is not 6n"):
        ResNet(21)


def test_skip_connections_matter():
    torch.manual_seed(0)
    images = torch.randn(4, 3, 32, 32)
    torch.manual_seed(1)
    residual = ResNet(20)
    torch.manual_seed(1)
    plain = ResNet(20, skip=False)
    assert residual(images).shape == (4, 10)
    assert not torch.allclose(residual(images), plain(images))
