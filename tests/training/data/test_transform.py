"""What ImageTransform does to images: nothing at strength 0, what its strengths say otherwise, and nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nestedga.errors import SettingError
from nestedga.training.data.transform import LUMA, STRENGTHS, Draws, ImageTransform, apply

MEAN, DEVIATION = np.array([120.0, 110.0, 90.0]), np.array([60.0, 50.0, 40.0])
COLOUR = ImageTransform(MEAN, DEVIATION)
GREY = ImageTransform([0.0], [1.0])
GENERATOR = np.random.default_rng(0)
IMAGES = torch.from_numpy(GENERATOR.integers(256, size=(50, 6, 7, 3), dtype=np.uint8))


def inputs_of(strengths, transform=COLOUR, images=IMAGES, seed=1):
    return transform(images, np.random.default_rng(seed), strengths)


def colours(strengths, images=IMAGES):
    """In units of the stored values, as float64 (n, height, width, channels)."""
    inputs = inputs_of(strengths, images=images).double().permute(0, 2, 3, 1).numpy()
    return inputs * DEVIATION + MEAN


def test_without_draws_and_at_strength_0_images_are_normalised_and_no_more():
    expected = ((IMAGES.double() - torch.from_numpy(MEAN)) / torch.from_numpy(DEVIATION)).permute(0, 3, 1, 2)
    for inputs in (
        COLOUR(IMAGES, None, {}),
        COLOUR(IMAGES, None, {"pad": 3, "cutout": 4, "hue": 0.5, "brightness": 1}),
        inputs_of({}),
        inputs_of(dict.fromkeys(STRENGTHS, 0)),
    ):
        assert inputs.dtype == torch.float32 and inputs.is_contiguous()
        assert torch.allclose(inputs.double(), expected, atol=1e-6)


def test_stored_images_are_never_written_to():
    for images in (IMAGES, IMAGES.float(), IMAGES.float().permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)):
        before = images.clone()
        inputs_of({"pad": 1, "cutout": 3}, images=images)
        inputs_of({}, images=images)
        assert torch.equal(images, before)


def test_a_padded_crop_is_one_of_the_windows():
    image = torch.arange(1.0, 17.0).view(1, 4, 4, 1).repeat(400, 1, 1, 1)
    padded = torch.nn.functional.pad(image[0, :, :, 0], (1, 1, 1, 1))
    windows = {padded[r : r + 4, c : c + 4].numpy().tobytes() for r in range(3) for c in range(3)}
    assert {one.numpy().tobytes() for one in inputs_of({"pad": 1}, GREY, image)} == windows


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_mirrored_images_are_mirrored_and_the_others_untouched(probability):
    image = torch.arange(1.0, 17.0).view(1, 4, 4, 1).repeat(1000, 1, 1, 1)
    plain = image.permute(0, 3, 1, 2)
    inputs = inputs_of({"mirror": probability}, GREY, image)
    mirrored = (inputs != plain).flatten(1).any(1)
    assert abs(float(mirrored.float().mean()) - probability) < 0.08
    assert torch.equal(inputs[mirrored], plain[mirrored].flip(3))


def test_a_mirrored_crop_is_mirrored_after_the_crop():
    image = torch.arange(1.0, 17.0).view(1, 4, 4, 1).repeat(50, 1, 1, 1)
    plain, mirrored = inputs_of({"pad": 1}, GREY, image), inputs_of({"pad": 1, "mirror": 1}, GREY, image)
    assert torch.equal(mirrored, plain.flip(3))


@given(side=st.integers(0, 9), seed=st.integers(0, 1000))
def test_what_is_cut_out_is_one_rectangle_within_a_square_of_that_side(side, seed):
    images = torch.ones(30, 6, 7, 1)
    inputs = inputs_of({"cutout": side}, GREY, images, seed)[:, 0]
    for image in inputs:
        rows, columns = torch.nonzero(image == 0, as_tuple=True)
        assert bool(len(rows)) == bool(side)
        if side:
            box = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert not box.any() and max(box.shape) <= side
            assert all(
                length == side or lo == 0 or hi == size - 1
                for length, lo, hi, size in zip(
                    box.shape, (rows.min(), columns.min()), (rows.max(), columns.max()), (6, 7), strict=True
                )
            )


def test_brightness_and_contrast_scale_values_and_their_distance_from_the_mean():
    plain = colours({})
    factors = colours({"brightness": 0.4}) / plain.clip(1e-9)
    factors = np.array([f[p > 0].mean() for f, p in zip(factors, plain, strict=True)])
    assert factors.min() > 0.6 and factors.max() < 1.4 and factors.std() > 0.1
    assert np.allclose(colours({"brightness": 0.4}), plain * factors[:, None, None, None], atol=1e-3)
    distances = colours({"contrast": 0.4}) - MEAN
    factors = (distances * (plain - MEAN)).sum((1, 2, 3)) / ((plain - MEAN) ** 2).sum((1, 2, 3))
    assert factors.min() > 0.6 and factors.max() < 1.4 and factors.std() > 0.1
    assert np.allclose(distances, (plain - MEAN) * factors[:, None, None, None], atol=1e-3)


@pytest.mark.parametrize("name", ["saturation", "hue"])
def test_saturation_and_hue_change_colours_and_neither_luma_nor_grey(name):
    changed = colours({name: 0.5})
    assert np.abs(changed - colours({})).mean() > 5
    assert np.allclose(changed @ LUMA, colours({}) @ LUMA, atol=0.1)  # NTSC's I and Q are given to three digits
    grey = IMAGES[..., :1].expand_as(IMAGES)
    assert np.allclose(colours({name: 0.5}, grey), colours({}, grey), atol=0.1)


@given(st.fixed_dictionaries({}, optional={"pad": st.integers(0, 4), "cutout": st.integers(0, 6), "hue": st.just(0.3)}))
def test_one_strength_never_changes_what_another_draws(strengths):
    alone = COLOUR.draws(np.random.default_rng(3), 20, 8, 8, {"mirror": 0.5})
    beside = COLOUR.draws(np.random.default_rng(3), 20, 8, 8, {"mirror": 0.5, **strengths})
    assert np.array_equal(alone.mirror, beside.mirror)


def test_joined_draws_are_those_of_the_parts():
    strengths = {"pad": 2, "mirror": 0.5, "cutout": 3, "contrast": 0.3, "hue": 0.2}
    parts = [COLOUR.draws(np.random.default_rng(seed), 25, 6, 7, strengths) for seed in (1, 2)]
    apart = torch.cat([apply(images, draws) for images, draws in zip(IMAGES.split(25), parts, strict=True)])
    assert torch.equal(apply(IMAGES, Draws.join(parts)), apart)


@pytest.mark.parametrize(
    ("strengths", "message"),
    [
        ({"padding": 4}, "data.augment.padding is unknown"),
        ({"pad": -1}, "data.augment.pad=-1 must be a whole number"),
        ({"pad": 1.5}, "data.augment.pad=1.5 must be a whole number"),
        ({"mirror": True}, "data.augment.mirror=True must be a number from 0 to 1"),
        ({"mirror": 1.1}, "data.augment.mirror=1.1"),
        ({"contrast": float("nan")}, "data.augment.contrast=nan"),
        ({"cutout": "8"}, "data.augment.cutout=8"),
        ({"hue": 0.6}, "from 0 to 0.5"),
    ],
)
def test_strengths_that_cannot_be_are_named(strengths, message):
    with pytest.raises(SettingError, match=message):
        COLOUR.check(strengths)


def test_grey_images_have_no_hue():
    GREY.check({"hue": 0, "brightness": 0.5})
    with pytest.raises(SettingError, match="data.augment.saturation"):
        GREY.check({"saturation": 0.1})
