"""Data sets: splits that do not meet, formats, and files that are not what they should be."""

import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from nestedga.errors import SettingError
from nestedga.training.data.base import SPLITS
from nestedga.training.data.cifar10 import Cifar10
from nestedga.training.data.digits import Digits
from nestedga.training.data.idx import Idx
from nestedga.training.data.npz import Npz
from nestedga.training.data.synthetic import Synthetic


@pytest.mark.parametrize(
    "dataset", [Digits(), Synthetic(num_samples=400, fitness_size=50)], ids=["digits", "synthetic"]
)
def test_splits_share_no_sample(dataset):
    seen = set()
    for split in SPLITS:
        inputs, targets = dataset.batch(split, np.arange(dataset.size(split)))
        assert targets.dtype == torch.int64 and len(inputs) == len(targets) == dataset.size(split)
        assert targets.min() >= 0 and targets.max() < dataset.num_classes == 10
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


def test_a_label_that_fits_no_byte_is_named(archives, tmp_path):
    source = archives / "py" / "cifar-10-batches-py"
    for path in source.iterdir():
        (tmp_path / path.name).symlink_to(path)
    content = pickle.loads((source / "data_batch_3").read_bytes())
    content["labels"][7] = 300
    (tmp_path / "data_batch_3").unlink()
    (tmp_path / "data_batch_3").write_bytes(pickle.dumps(content, protocol=3))
    with pytest.raises(SettingError, match="data_batch_3 is missing or damaged"):
        Cifar10(str(tmp_path))


@pytest.mark.skipif(
    "NESTEDGA_CIFAR10" not in os.environ, reason="NESTEDGA_CIFAR10 names no folder with the real CIFAR-10"
)
def test_the_real_cifar10():
    dataset = Cifar10(os.environ["NESTEDGA_CIFAR10"])
    images, targets = dataset.batch("train", np.arange(45_000))
    assert torch.bincount(targets, minlength=10).min() > 4_300
    inputs = dataset.transform(images, None, {})
    assert inputs.mean().abs() < 0.01 and (inputs.std() - 1).abs() < 0.01
    assert Path(os.environ["NESTEDGA_CIFAR10"]).exists()


@pytest.mark.parametrize("size", [1437, 0, 0.1, 300.0, "many", None, True])
def test_fitness_size_must_leave_something(size):
    with pytest.raises(SettingError, match=f"data.fitness_size={size!r} must be a whole number"):
        Digits(fitness_size=size)


def test_inputs_of_digits_are_shares_of_sixteen():
    digits = Digits()
    inputs = digits.transform(digits.batch("train", np.arange(100))[0], None, {})
    assert inputs.shape == (100, 1, 8, 8) and float(inputs.max()) == 1.0
    assert torch.equal(inputs * 16, (inputs * 16).round())


def idx_bytes(array):
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def idx(tmp_path):
    """A folder of four idx files, and what they hold."""
    rng = np.random.default_rng(0)
    held = {}
    for name, size in (("train", 60), ("t10k", 20)):
        held[name] = rng.integers(256, size=(size, 6, 5), dtype=np.uint8), rng.integers(10, size=size, dtype=np.uint8)
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx_bytes(held[name][0]))
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(held[name][1])))
    return tmp_path, held


def test_idx_files_packed_or_not(idx):
    folder, held = idx
    dataset = Idx(str(folder), fitness_size=10)
    images, targets = dataset.batch("test", np.arange(20))
    assert np.array_equal(images[..., 0], held["t10k"][0]) and np.array_equal(targets, held["t10k"][1])
    assert [dataset.size(split) for split in SPLITS] == [50, 10, 20]
    inputs = dataset.transform(dataset.batch("train", np.arange(50))[0], None, {})
    assert inputs.shape == (50, 1, 6, 5)
    assert abs(float(inputs.mean())) < 1e-5 and abs(float(inputs.std(correction=0)) - 1) < 1e-5


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("train-images-idx3-ubyte", lambda data: data[:-1]),
        ("train-images-idx3-ubyte", lambda data: data + b"0"),
        ("train-images-idx3-ubyte", lambda data: data[:9]),
        ("train-images-idx3-ubyte", lambda _: b""),
        ("t10k-images-idx3-ubyte", lambda data: bytes((0, 0, 13)) + data[3:]),
        ("t10k-labels-idx1-ubyte.gz", lambda data: data[:-9]),
        ("t10k-labels-idx1-ubyte.gz", lambda _: b"no gzip"),
        ("t10k-labels-idx1-ubyte.gz", lambda _: gzip.compress(idx_bytes(np.zeros((20, 1), np.uint8)))),
        ("t10k-labels-idx1-ubyte.gz", lambda _: gzip.compress(idx_bytes(np.zeros(19, np.uint8)))),
        ("t10k-labels-idx1-ubyte.gz", lambda _: gzip.compress(idx_bytes(np.full(20, 10, np.uint8)))),
        ("t10k-labels-idx1-ubyte.gz", None),
    ],
)
def test_idx_files_that_are_broken_are_named(idx, name, broken):
    path = idx[0] / name
    content = path.read_bytes()
    path.unlink()
    if broken:
        path.write_bytes(broken(content))
    with pytest.raises(SettingError, match=name.removesuffix(".gz")):
        Idx(str(idx[0]), fitness_size=10)


@pytest.mark.skipif("NESTEDGA_FASHION_MNIST" not in os.environ, reason="NESTEDGA_FASHION_MNIST names no folder")
def test_the_real_fashion_mnist():
    dataset = Idx(os.environ["NESTEDGA_FASHION_MNIST"], fitness_size=6_000)
    images, targets = dataset.batch("train", np.arange(54_000))
    assert torch.bincount(targets, minlength=10).min() > 5_200
    assert (dataset.transform.mean / 255).round(2) == 0.29 and (dataset.transform.deviation / 255).round(2) == 0.35
    assert images.shape == (54_000, 28, 28, 1)


def saved(tmp_path, **arrays):
    np.savez_compressed(tmp_path / "mine.npz", **arrays)
    return str(tmp_path / "mine.npz")


def test_npz_images_are_normalised_by_the_training_split(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.normal(7, 3, (100, 4, 4, 2)).astype(np.float32)
    path = saved(
        tmp_path, images=images, targets=np.arange(100) % 3, test_images=images[:9] + 100, test_targets=[2] * 9
    )
    dataset = Npz(path, fitness_size=20)
    assert [dataset.size(split) for split in SPLITS] == [80, 20, 9] and dataset.num_classes == 3
    inputs = dataset.transform(dataset.batch("train", np.arange(80))[0], None, {})
    assert inputs.shape == (80, 2, 4, 4)
    assert torch.allclose(inputs.mean((0, 2, 3)), torch.zeros(2), atol=1e-5)
    assert torch.allclose(inputs.std((0, 2, 3), correction=0), torch.ones(2), atol=1e-5)


def test_npz_inputs_are_standardised_unless_they_are_tokens(tmp_path):
    rng = np.random.default_rng(0)
    inputs = np.concatenate([rng.normal(5, 2, (60, 3)), np.full((60, 1), 4.0)], axis=1)
    dataset = Npz(saved(tmp_path, inputs=inputs, targets=rng.random((60, 2))), fitness_size=10, test_size=15)
    given, targets = dataset.batch("train", np.arange(35))
    assert given.dtype == targets.dtype == torch.float32 and targets.shape == (35, 2)
    assert torch.allclose(given.mean(0), torch.zeros(4), atol=1e-5)
    assert torch.allclose(given.std(0, correction=0), torch.tensor([1.0, 1.0, 1.0, 0.0]), atol=1e-5)
    assert not hasattr(dataset, "transform")
    assert len({id(part.inputs) for part, _ in dataset._splits.values()}) == 1  # one copy, shared by the splits
    tokens = rng.integers(50, size=(60, 7))
    dataset = Npz(saved(tmp_path, inputs=tokens, targets=tokens), fitness_size=10, test_size=15)
    given, targets = dataset.batch("train", np.arange(35))
    assert given.dtype == torch.int64 and torch.equal(given, targets)


IMAGES, CLASSES = np.zeros((30, 4, 4), np.uint8), np.arange(30) % 5
WITH_NAN = np.where(np.arange(30)[:, None] == 17, np.nan, 1.0)


@pytest.mark.parametrize(
    ("arrays", "settings", "message"),
    [
        ({"images": IMAGES}, {}, "must hold targets"),
        ({"targets": CLASSES}, {}, "either images or inputs"),
        ({"images": IMAGES, "inputs": IMAGES, "targets": CLASSES}, {}, "either images or inputs"),
        ({"images": IMAGES, "targets": CLASSES[:-1]}, {}, "30 inputs and 29 targets"),
        ({"images": IMAGES[:0], "targets": CLASSES[:0]}, {}, "no samples"),
        ({"images": IMAGES[0], "targets": CLASSES[:4]}, {}, "of shape"),
        ({"images": IMAGES, "targets": CLASSES}, {"test_size": None}, "data.test_size=None"),
        ({"images": IMAGES, "targets": CLASSES}, {"test_size": 30}, "data.test_size=30"),
        ({"images": IMAGES, "targets": CLASSES}, {"test_size": 0.1}, "data.test_size=0.1 must be a whole number"),
        ({"images": IMAGES, "targets": CLASSES}, {"fitness_size": 25}, "data.fitness_size=25"),
        (
            {"images": IMAGES, "targets": CLASSES},
            {"num_classes": 4},
            "no class from 0 to 3; the first is 4, of",
        ),
        ({"images": IMAGES, "targets": CLASSES - 1}, {}, "the first is -1, of sample 0"),
        ({"inputs": WITH_NAN, "targets": CLASSES}, {}, "NaN or infinity; the first is sample 17"),
        ({"inputs": IMAGES, "targets": WITH_NAN}, {}, "targets of 1 samples"),
        ({"images": IMAGES, "targets": np.array(["a"] * 30)}, {}, "targets are of type"),
        ({"images": IMAGES, "targets": np.array([{}] * 30)}, {}, "no intact .npz"),  # a pickle, never executed
        ({"images": IMAGES, "targets": CLASSES, "test_images": IMAGES}, {"test_size": None}, "no test_targets"),
        (
            {"images": IMAGES, "targets": CLASSES, "test_images": IMAGES[:, :3], "test_targets": CLASSES},
            {"test_size": None},
            "samples of shape",
        ),
        ({"images": IMAGES, "targets": CLASSES, "test_images": IMAGES, "test_targets": CLASSES}, {}, "use null"),
    ],
)
def test_npz_files_that_are_not_what_they_should_be(tmp_path, arrays, settings, message):
    with pytest.raises(SettingError, match=message):
        Npz(saved(tmp_path, **arrays), **{"fitness_size": 5, "test_size": 5, **settings})


def test_what_is_no_npz_is_named(tmp_path):
    for name, content in (("none", None), ("text", b"hello"), ("cut", b"PK\x03\x04"), ("one", None)):
        path = tmp_path / f"{name}.npz"
        if content:
            path.write_bytes(content)
    np.save(tmp_path / "one.npy", IMAGES)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    entry = b"PK\x01\x02"  # of the zip file's directory: 8 bytes on are flags, 10 bytes on the way of packing
    content = Path(saved(tmp_path, images=IMAGES, targets=CLASSES)).read_bytes()
    for name, place, value in (("encrypted", 8, 1), ("packed", 10, 99)):
        changed = bytearray(content)
        changed[content.index(entry) + place] = value
        (tmp_path / f"{name}.npz").write_bytes(changed)
    for name in ("none", "text", "cut", "one", "encrypted", "packed"):
        with pytest.raises(SettingError, match=f"{name}.npz"):
            Npz(str(tmp_path / f"{name}.npz"), fitness_size=5)
