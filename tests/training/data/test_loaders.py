"""Laws of all loaders: the same samples, the same changes, failures that are seen, and no hang."""

import os
import threading

import numpy as np
import pytest
import torch

from nestedga.errors import SettingError
from nestedga.training.data.base import IGNORED, SPLITS, Piece
from nestedga.training.data.digits import Digits
from nestedga.training.data.loaders import LOADERS, make_loader
from nestedga.training.data.synthetic import Synthetic
from nestedga.training.data.transform import ImageTransform
from nestedga.training.interval import Interval

CPU = torch.device("cpu")
ALL = {"pad": 2, "mirror": 0.5, "cutout": 4, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1}
DEVICES = ["cpu", *(["cuda:0"] if torch.cuda.is_available() else [])]


class Coloured:
    """Small random images; the first pixel tells which sample it is, where nothing has been changed."""

    num_classes = 10
    transform = ImageTransform([127.5] * 3, [73.9] * 3)

    def __init__(self, size=60):
        rng = np.random.default_rng(0)
        self.images = torch.from_numpy(rng.integers(256, size=(size, 8, 6, 3), dtype=np.uint8))
        self.images[:, 0, 0, 0] = torch.arange(size)
        self.threads = set()

    def size(self, split):
        return len(self.images)

    def batch(self, split, indices):
        self.threads.add(threading.current_thread().name)
        at = torch.from_numpy(indices)
        return self.images[at], at % 10


class Broken(Coloured):
    def batch(self, split, indices):
        if 13 in indices:
            raise OSError("the disk is gone")
        return super().batch(split, indices)


@pytest.fixture(params=LOADERS)
def loader(request):
    """A function that makes a loader of one kind; all that were made are closed."""
    if request.param == "dali":
        pytest.importorskip("nvidia.dali")
    made = []

    def make(dataset, device=CPU):
        made.append(make_loader(request.param, dataset, device))
        return made[-1]

    make.name = request.param
    yield make
    for one in made:
        one.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "loader"]


def pieces_of(*sizes, key=5):
    ends = np.cumsum(sizes)
    return [Piece(np.arange(end - size, end), key + end) for size, end in zip(sizes, ends, strict=True)]


def identities(batch):
    return (batch.inputs[:, 0, 0, 0] * 73.9 + 127.5).round().int().tolist()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ranks_see_every_sample_of_an_epoch_once(loader, size):
    dataset = Coloured()
    interval = Interval(0, 7, num_samples=60, batch_size=12, num_pieces=3, num_steps=5, begin=0)
    seen = []
    for rank in range(size):
        for batch in loader(dataset).batches("train", interval.pieces(rank, size), {}):
            assert [i % 10 for i in identities(batch)] == batch.targets.tolist()
            assert batch.num_samples == len(batch.targets)
            seen += identities(batch)
    assert sorted(seen) == list(range(60))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("strengths", [{}, {"pad": 2, "mirror": 0.5}, {"cutout": 3}, {"contrast": 0.5}, ALL], ids=str)
def test_all_loaders_give_the_inputs_of_the_transform(loader, strengths, device):
    dataset, there = Coloured(), torch.device(device)
    pieces = [*pieces_of(9, 16, 4, 20, 1), Piece(np.arange(30, 41))]
    batches = loader(dataset, there).batches("train", pieces, strengths)
    for piece, batch in zip(pieces, batches, strict=True):
        rng = None if piece.key is None else np.random.default_rng(piece.key)
        expected = dataset.transform(dataset.batch("train", piece.indices)[0], rng, strengths)
        assert batch.inputs.device == batch.targets.device == there
        assert batch.inputs.dtype == torch.float32 and batch.inputs.is_contiguous()
        assert torch.allclose(batch.inputs.cpu(), expected, atol=1e-5)
        assert batch.targets.tolist() == [int(i) % 10 for i in piece.indices]


def test_grey_images(loader):
    digits = Digits()
    pieces = pieces_of(30, 10)
    for piece, batch in zip(pieces, loader(digits).batches("test", pieces, {"pad": 1, "contrast": 0.5}), strict=True):
        rng = np.random.default_rng(piece.key)
        expected = digits.transform(digits.batch("test", piece.indices)[0], rng, {"pad": 1, "contrast": 0.5})
        assert torch.allclose(batch.inputs, expected, atol=1e-6)


def test_strengths_and_sizes_change_from_call_to_call(loader):
    dataset = Coloured()
    here = loader(dataset)

    def inputs(strengths, *sizes):
        return torch.cat([batch.inputs for batch in here.batches("train", pieces_of(*sizes), strengths)])

    plain, bright, again = inputs({}, 10, 10), inputs({"brightness": 0.5}, 10, 10), inputs({}, 10, 10)
    assert torch.equal(plain, again) and not torch.allclose(plain, bright, atol=0.1)
    assert len(inputs({}, 40, 3)) == 43  # larger than ever before, and smaller
    assert torch.equal(inputs({}, 10, 10), plain)


def test_strengths_change_with_nothing_built_anew():
    pytest.importorskip("nvidia.dali")
    here = make_loader("dali", Coloured(), CPU)
    list(here.batches("train", pieces_of(10), {}))
    pipeline = here._pipeline
    list(here.batches("train", pieces_of(10, 8), ALL))
    assert here._pipeline is pipeline
    here.close()


def test_pieces_of_the_same_samples_and_other_keys_differ(loader):
    strengths = {"brightness": 0.5}
    pieces = [Piece(np.arange(8), key) for key in (1, 2, 1)]
    one, other, same = (batch.inputs for batch in loader(Coloured()).batches("train", pieces, strengths))
    assert torch.equal(one, same) and not torch.allclose(one, other, atol=0.01)
    assert len({sample.numpy().tobytes() for sample in one}) == 8


def test_samples_are_read_ahead_in_a_thread(loader):
    dataset = Coloured()
    batches = loader(dataset).batches("train", pieces_of(5, 5, 5), {})
    next(batches)
    assert dataset.threads - {"MainThread"} or loader.name == "device"


def test_a_broken_data_set_is_heard_of(loader):
    if loader.name == "device":  # which reads all at once
        with pytest.raises(OSError, match="the disk is gone"):
            loader(Broken()).batches("train", pieces_of(5, 5, 5, 5), {})
        return
    here = loader(Broken())
    batches = here.batches("train", pieces_of(5, 5, 5, 5), {})
    with pytest.raises(OSError, match="the disk is gone"):
        list(batches)
    assert len(list(here.batches("train", pieces_of(5, 5), {}))) == 2  # and goes on


def test_broken_pieces_are_heard_of(loader):
    def pieces():
        yield from pieces_of(5, 5)
        raise ZeroDivisionError("no pieces")

    with pytest.raises(ZeroDivisionError, match="no pieces"):
        list(loader(Coloured()).batches("train", pieces(), {}))


def test_batches_given_up_never_hang(loader):
    here = loader(Coloured())
    given_up = here.batches("train", (Piece(np.arange(10), key) for key in range(10**9)), ALL)
    next(given_up)
    assert len(list(here.batches("fitness", pieces_of(5, 5), {}))) == 2
    with pytest.raises(RuntimeError, match="given up"):
        list(given_up)
    next(here.batches("train", (Piece(np.arange(10), key) for key in range(10**9)), ALL))
    here.close()


def test_no_pieces_no_batches(loader):
    assert list(loader(Coloured()).batches("train", [], {})) == []


def test_samples_without_a_target_do_not_count(loader):
    class Partly(Coloured):
        def batch(self, split, indices):
            inputs, targets = super().batch(split, indices)
            return inputs, torch.where(targets < 3, IGNORED, targets)

    (batch,) = loader(Partly()).batches("train", pieces_of(20), {})
    assert batch.num_samples == 14 and len(batch.targets) == 20


def test_measuring_first_spoils_no_training(loader):
    """Tensors of inference mode cannot be trained with."""
    here = loader(Coloured())
    with torch.inference_mode():
        list(here.batches("train", pieces_of(10), {}))
    (batch,) = here.batches("train", pieces_of(10), ALL)
    weight = torch.ones(3, requires_grad=True)
    (batch.inputs * weight.view(3, 1, 1)).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("name", ["torch", "device"])
def test_data_sets_without_a_transform_are_taken_as_they_are(name):
    dataset = Synthetic(num_samples=200, fitness_size=50)
    here = make_loader(name, dataset, CPU)
    for split in SPLITS:
        (batch,) = here.batches(split, pieces_of(20), {})
        inputs, targets = dataset.batch(split, np.arange(20))
        assert torch.equal(batch.inputs, inputs) and torch.equal(batch.targets, targets)
    with pytest.raises(SettingError, match="data.augment.pad"):
        here.batches("train", [], {"pad": 1})
    here.close()


@pytest.mark.parametrize("name", ["torch", "device"])
def test_transforms_of_others_are_applied_by_piece(name):
    class Jitter:
        def check(self, strengths):
            pass

        def __call__(self, inputs, rng, strengths):
            return inputs if rng is None else inputs + rng.random() * strengths["jitter"]

    dataset = Synthetic(num_samples=200, fitness_size=50)
    dataset.transform = Jitter()
    here = make_loader(name, dataset, CPU)
    pieces = pieces_of(10, 7)
    for piece, batch in zip(pieces, here.batches("train", pieces, {"jitter": 2.0}), strict=True):
        moved = batch.inputs - dataset.batch("train", piece.indices)[0]
        assert torch.allclose(moved, torch.tensor(2.0 * np.random.default_rng(piece.key).random()).float(), atol=1e-5)
    here.close()


def test_a_call_that_does_more_than_its_draws_is_made_or_refused(loader):
    class Darker(ImageTransform):
        def __call__(self, inputs, rng, strengths):
            return super().__call__(inputs, rng, strengths) - 1

    dataset = Coloured()
    dataset.transform = Darker([127.5] * 3, [73.9] * 3)
    if loader.name == "dali":
        with pytest.raises(SettingError, match="without a __call__ of its own"):
            loader(dataset)
        return
    pieces = pieces_of(9, 4)
    for piece, batch in zip(pieces, loader(dataset).batches("train", pieces, ALL), strict=True):
        images, rng = dataset.batch("train", piece.indices)[0], np.random.default_rng(piece.key)
        assert torch.allclose(batch.inputs, Coloured.transform(images, rng, ALL) - 1, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "dtype"),
    [
        *((6, torch.float32), (5, torch.uint8), (2, torch.int16), (3, torch.int32)),
        *((8, torch.uint8), (7, torch.float32), (3, torch.float64), (3, torch.int64)),
    ],
)
def test_images_of_other_kinds_are_served_or_refused(loader, channels, dtype):
    dataset = Coloured()
    images = np.random.default_rng(0).integers(100, size=(60, 8, 6, channels))
    dataset.images = torch.from_numpy(images).to(dtype)
    dataset.transform = ImageTransform([50] * channels, [29] * channels)
    if loader.name == "dali" and (channels > 6 or dtype in (torch.float64, torch.int64)):
        with pytest.raises(SettingError, match=f"at most 6 channels.*these have {channels}, in "):
            loader(dataset)
        return
    strengths = {"pad": 2, "mirror": 0.5, "cutout": 3, "contrast": 0.5}
    (batch,) = loader(dataset).batches("train", pieces_of(9), strengths)
    expected = dataset.transform(dataset.images[:9], np.random.default_rng(14), strengths)
    assert torch.allclose(batch.inputs, expected, atol=1e-5)


def test_unknown_strengths_are_named_when_they_are_handed_in(loader):
    with pytest.raises(SettingError, match="data.augment.padding is unknown"):
        loader(Coloured()).batches("train", pieces_of(5), {"padding": 1})


def test_what_cannot_be_served_is_named(monkeypatch):
    with pytest.raises(SettingError, match="data.loader=fast is unknown; known: torch, device, dali"):
        make_loader("fast", Coloured(), CPU)
    with pytest.raises(SettingError, match="there are no train samples"):
        make_loader("torch", Coloured(0), CPU)
    from nestedga.training.data.loaders import device

    page = os.sysconf("SC_PAGE_SIZE")
    assert os.sysconf("SC_AVPHYS_PAGES") * page / 2 < device._free_bytes(CPU) <= os.sysconf("SC_PHYS_PAGES") * page
    monkeypatch.setattr(device, "_free_bytes", lambda _: 50_000)
    with pytest.raises(SettingError, match=r"\(60 train \+ 60 fitness \+ 60 test\) samples x 152 bytes = 0 MB"):
        make_loader("device", Coloured(), CPU)
    pytest.importorskip("nvidia.dali")
    with pytest.raises(SettingError, match="data.loader=dali serves images"):
        make_loader("dali", Synthetic(num_samples=200, fitness_size=50), CPU)


def test_without_dali_its_loader_says_so(monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, "nestedga.training.data.loaders.dali", raising=False)
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    with pytest.raises(SettingError, match="data.loader=dali, and NVIDIA DALI is not installed"):
        make_loader("dali", Coloured(), CPU)
