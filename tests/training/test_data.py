"""Data sets: splits that do not meet, both CIFAR-10 formats, and files that are not what they should be."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from nestedga.errors import SettingError
from nestedga.training.data.base import SPLITS, pad_crop_mirror
from nestedga.training.data.cifar10 import Cifar10
from nestedga.training.data.digits import Digits
from nestedga.training.data.synthetic import Synthetic


@pytest.mark.parametrize(
    "dataset", [Digits(), Synthetic(num_samples=400, fitness_size=50)], ids=["digits", "synthetic"]
)
def test_splits_share_no_sample(dataset):
    seen = set()
    for split in SPLITS:
        inputs, targets = dataset.batch(split, np.arange(dataset.size(split)))
        assert inputs.dtype == torch.float32 and targets.dtype == torch.int64 and len(inputs) == len(targets)
        samples = {sample.numpy().tobytes() for sample in inputs}
        assert not samples & seen
        seen |= samples


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The same random images in both official formats; the pickles as Python 2's protocol 2 wrote them."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("cifar")
    (root / "bin" / "cifar-10-batches-bin").mkdir(parents=True)
    (root / "py" / "cifar-10-batches-py").mkdir(parents=True)
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        images = rng.integers(256, size=(10_000, 3_072), dtype=np.uint8)
        labels = rng.integers(10, size=10_000)
        records = np.concatenate([labels[:, None].astype(np.uint8), images], axis=1)
        (root / "bin" / "cifar-10-batches-bin" / f"{name}.bin").write_bytes(records.tobytes())
        content = {
            "batch_label": f"part {number}",
            "labels": labels.tolist(),
            "data": images.tobytes(),
            "filenames": ["7.png"] * 3,
        }
        (root / "py" / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(content, protocol=3))
    return root


def test_both_formats_give_the_same(archives):
    one, other = Cifar10(str(archives / "bin")), Cifar10(str(archives / "py"))
    for split, size in (("train", 45_000), ("fitness", 5_000), ("test", 10_000)):
        assert one.size(split) == other.size(split) == size
        indices = np.random.default_rng(1).integers(size, size=64)
        for a, b in zip(one.batch(split, indices), other.batch(split, indices), strict=True):
            assert torch.equal(a, b)


def test_a_pickle_is_never_executed(archives, tmp_path):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for path in (archives / "py" / "cifar-10-batches-py").iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "data_batch_1").unlink()
    content = pickle.loads((archives / "py" / "cifar-10-batches-py" / "data_batch_1").read_bytes())
    (folder / "data_batch_1").write_bytes(pickle.dumps({**content, "evil": Harmful()}, protocol=3))
    Cifar10(str(tmp_path))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("form", ["bin", "py"])
def test_truncated_and_missing_files_are_named(archives, tmp_path, form):
    source = archives / form / f"cifar-10-batches-{form}"
    for path in source.iterdir():
        (tmp_path / path.name).symlink_to(path)
    broken = tmp_path / f"data_batch_3{'.bin' if form == 'bin' else ''}"
    content = broken.read_bytes()
    broken.unlink()
    with pytest.raises(SettingError, match="data_batch_3"):
        Cifar10(str(tmp_path))
    broken.write_bytes(content[:-5000])
    with pytest.raises(SettingError, match="data_batch_3"):
        Cifar10(str(tmp_path))


@pytest.mark.skipif(
    "NESTEDGA_CIFAR10" not in os.environ, reason="NESTEDGA_CIFAR10 names no folder with the real CIFAR-10"
)
def test_the_real_cifar10():
    dataset = Cifar10(os.environ["NESTEDGA_CIFAR10"])
    inputs, targets = dataset.batch("train", np.arange(45_000))
    assert torch.bincount(targets, minlength=10).min() > 4_300
    assert inputs.mean().abs() < 0.01 and (inputs.std() - 1).abs() < 0.01
    assert Path(os.environ["NESTEDGA_CIFAR10"]).exists()


def test_fitness_size_must_leave_something():
    with pytest.raises(SettingError, match="data.fitness_size=1437"):
        Digits(fitness_size=1437)


def test_augmentation_moves_and_mirrors_and_nothing_else():
    torch.manual_seed(0)
    image = torch.arange(1.0, 17.0).view(1, 1, 4, 4).repeat(200, 1, 1, 1)
    assert torch.equal(pad_crop_mirror(image, 0, mirror=False), image)
    mirrored = pad_crop_mirror(image, 0, mirror=True)
    flipped = (mirrored != image).flatten(1).any(1)
    assert 60 < int(flipped.sum()) < 140
    assert torch.equal(mirrored[flipped], image[flipped].flip(3))
    padded = torch.nn.functional.pad(image[:1], (1, 1, 1, 1))[0, 0]
    windows = {padded[r : r + 4, c : c + 4].numpy().tobytes() for r in range(3) for c in range(3)}
    shifted = {sample.numpy().tobytes() for sample in pad_crop_mirror(image, 1, mirror=False)}
    assert shifted == windows
