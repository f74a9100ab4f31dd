"""Encoded images: crops, decoding, and files that are not what they should be; from folders and from records alike."""

import io
import os
import tarfile
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nestedga.errors import SettingError
from nestedga.training.data.base import IGNORED, SPLITS, Piece
from nestedga.training.data.encoded import centre_boxes, random_boxes
from nestedga.training.data.image_folder import ImageFolder
from nestedga.training.data.image_records import ImageRecords
from nestedga.training.data.loaders import make_loader

CPU = torch.device("cpu")
SMALL = {"fitness_size": 4, "size": 16, "resize": 20}
ALL = {"crop_area": 0.2, "pad": 2, "mirror": 0.5, "cutout": 5, "brightness": 0.3, "saturation": 0.4, "hue": 0.1}
LOADERS = ["torch", "dali"]


def smooth(rng, height, width):
    """Waves of a few periods: nothing that two decoders, or two ways to scale, could well differ in."""
    rows, columns = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None, :]
    phases = rng.random((3, 3))
    waves = [np.sin(2 * np.pi * (a + b * rows + c * columns)) for a, b, c in phases]
    return Image.fromarray((128 + 90 * np.stack(waves, axis=2)).astype(np.uint8))


def encoded(image, form="JPEG", **options):
    file = io.BytesIO()
    image.save(file, form, **({"quality": 95} if form == "JPEG" else {}), **options)
    return file.getvalue()


def whole(seed=0):
    return encoded(smooth(np.random.default_rng(seed), 40, 60))


def claiming(width, height):
    """A PNG of a few bytes whose header promises a big image."""
    data = bytearray(encoded(Image.new("RGB", (1, 1)), "PNG"))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


CORRUPT = {
    "truncated": lambda: whole()[:-400],
    "truncated PNG": lambda: encoded(smooth(np.random.default_rng(0), 40, 60), "PNG")[:-300],
    "empty": lambda: b"",
    "text": lambda: b"this is no image\n" * 9,
    "header alone": lambda: whole()[:100],
    "bomb": lambda: claiming(60_000, 60_000),
    "big": lambda: claiming(10_000, 9_000),
}


@pytest.fixture
def images():
    """Bytes by name: train and test, two classes; sizes differ, one is a single pixel."""
    rng = np.random.default_rng(1)
    return {
        f"{split}/{label}/{number:02}": encoded(smooth(rng, *((1, 1) if number == 3 else rng.integers(20, 90, 2))))
        for split, count in (("train", 10), ("test", 3))
        for label in ("ant", "bee")
        for number in range(count)
    }


def write_folder(root, images):
    for name, data in images.items():
        path = root / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_member(tar, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_records(root, images, per_shard=4):
    root.mkdir(exist_ok=True)
    for split in ("train", "test"):
        names = [name for name in images if name.startswith(split)]
        for number, first in enumerate(range(0, len(names), per_shard)):
            with tarfile.open(root / f"{split}-{number:03}.tar", "w") as tar:
                for name in names[first : first + per_shard]:
                    label = ["ant", "bee"].index(name.split("/")[1])
                    write_member(tar, f"{name}.jpg", images[name])
                    if number % 2:
                        write_member(tar, f"{name}.cls", b"%d\n" % label)
                    else:
                        write_member(tar, f"{name}.json", b'{"label": %d, "author": "x"}' % label)
                    write_member(tar, f"{name}.txt", b"what else is known")
    return root


def served(dataset, loader, pieces, split="train", strengths=None):
    if loader == "dali":
        pytest.importorskip("nvidia.dali")
    loader = make_loader(loader, dataset, CPU)
    try:
        return list(loader.batches(split, pieces, strengths or {}))
    finally:
        loader.close()


def everything(dataset, split, loader="torch"):
    (batch,) = served(dataset, loader, [Piece(np.arange(dataset.size(split)))], split)
    return batch


sizes = st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=20).map(np.array)


@given(sizes, st.floats(0.01, 1.0), st.integers(0, 2**63))
def test_random_crops_lie_inside_and_are_large_enough(sizes, least_area, seed):
    top, left, height, width = random_boxes(np.random.default_rng(seed), sizes, least_area).T
    assert (height >= 1).all() and (width >= 1).all() and (top >= 0).all() and (left >= 0).all()
    assert (top + height <= sizes[:, 0]).all() and (left + width <= sizes[:, 1]).all()
    large = (sizes >= 300).all(1)  # of small ones, whole pixels decide; a long strip has no large crop of such a ratio
    ordinary = large & (sizes.max(1) <= 4 / 3 * sizes.min(1))
    assert (height * width >= 0.98 * least_area * sizes.prod(1))[ordinary].all()
    assert (np.abs(np.log(width / height)) <= np.log(4 / 3) + 0.02)[large].all()


@given(sizes, st.floats(0.1, 1.0))
def test_centre_crops_are_squares_in_the_middle(sizes, share):
    top, left, height, width = centre_boxes(sizes, share).T
    assert (height == width).all() and (height >= 1).all() and (height <= sizes.min(1)).all()
    assert (np.abs(2 * top + height - sizes[:, 0]) <= 1).all() and (np.abs(2 * left + width - sizes[:, 1]) <= 1).all()


def test_crops_of_a_fixed_key_never_change():
    """Runs are repeatable with the next version too."""
    boxes = random_boxes(np.random.default_rng(7), np.array([[100, 150], [80, 40]]), 0.08)
    assert boxes.tolist() == [[3, 35, 88, 111], [24, 11, 33, 27]]


def test_areas_are_spread_evenly():
    boxes = random_boxes(np.random.default_rng(0), np.full((4000, 2), 500), 0.1)
    shares = np.sort(boxes[:, 2] * boxes[:, 3] / 500**2)
    # Large areas fit less often, for few ratios do; below 3/4 of the image every ratio fits.
    below = shares[shares < 0.7]
    assert np.abs(np.quantile(below, [0.25, 0.5, 0.75]) - [0.25, 0.4, 0.55]).max() < 0.02


@pytest.mark.parametrize("kind", [ImageFolder, ImageRecords])
def test_splits_share_no_sample(tmp_path, images, kind):
    write = write_folder if kind is ImageFolder else write_records
    unlike = {name: data for name, data in images.items() if not name.endswith("03")}  # one pixel is soon another's
    dataset = kind(str(write(tmp_path, unlike)), **SMALL)
    seen = set()
    for split, size in zip(SPLITS, (14, 4, 6), strict=False):
        batch = everything(dataset, split)
        assert len(batch.inputs) == dataset.size(split) == size
        samples = {sample.numpy().tobytes() for sample in batch.inputs}
        assert len(samples) == size and not samples & seen
        seen |= samples
    assert dataset.num_classes == 2


def test_folder_and_records_give_the_same(tmp_path, images):
    folder = ImageFolder(str(write_folder(tmp_path / "a", images)), **SMALL)
    records = ImageRecords(str(write_records(tmp_path / "b", images)), **SMALL)
    for split in SPLITS:
        pieces = [Piece(np.arange(folder.size(split))), Piece(np.array([2, 0, 2]), key=5)]
        for a, b in zip(*(served(d, "torch", pieces, split, ALL) for d in (folder, records)), strict=True):
            assert torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets)


def test_test_split_is_cut_where_there_is_none(tmp_path, images):
    for name, data in images.items():
        if name.startswith("train"):
            write_folder(tmp_path / "folder", {name.removeprefix("train/"): data})
    write_records(tmp_path / "records", {name: data for name, data in images.items() if name.startswith("train")})
    for path in sorted((tmp_path / "records").iterdir()):
        path.rename(path.with_name(path.name.removeprefix("train-")))
    for dataset in (
        ImageFolder(str(tmp_path / "folder"), test_size=5, **SMALL),
        ImageRecords(str(tmp_path / "records"), test_size=5, **SMALL),
    ):
        assert [dataset.size(split) for split in SPLITS] == [11, 4, 5]
        targets = torch.cat([everything(dataset, split).targets for split in SPLITS])
        assert targets.sum() == 10  # every image once
    with pytest.raises(SettingError, match="data.test_size=None"):
        ImageFolder(str(tmp_path / "folder"), **SMALL)


@pytest.mark.parametrize("loader", LOADERS)
def test_same_key_same_pixels(tmp_path, images, loader):
    dataset = ImageFolder(str(write_folder(tmp_path, images)), **SMALL)
    at = np.array([3, 1, 6])
    one, other, again = served(dataset, loader, [Piece(at, 1), Piece(at, 2), Piece(at, 1)], strengths=ALL)
    assert torch.equal(one.inputs, again.inputs) and not torch.equal(one.inputs, other.inputs)
    # One strength never changes what another does.
    _, cropped = served(dataset, loader, [Piece(at, 2), Piece(at, 1)], strengths={"crop_area": 0.2})
    _, cut = served(dataset, loader, [Piece(at, 2), Piece(at, 1)], strengths={"crop_area": 0.2, "cutout": 5})
    assert torch.equal(cut.inputs[cut.inputs != 0], cropped.inputs[cut.inputs != 0])
    assert not torch.equal(cut.inputs, cropped.inputs)


def test_without_strengths_training_images_are_as_measured(tmp_path, images):
    dataset = ImageFolder(str(write_folder(tmp_path, images)), **SMALL)
    at = np.arange(dataset.size("train"))
    one, other = served(dataset, "torch", [Piece(at), Piece(at, 9)])
    assert torch.equal(one.inputs, other.inputs)


@pytest.mark.parametrize("strengths", [{}, ALL], ids=["plain", "all strengths"])
def test_loaders_agree_on_smooth_images(tmp_path, images, strengths):
    dataset = ImageFolder(str(write_folder(tmp_path, images)), **SMALL)
    at = np.arange(dataset.size("train"))
    pieces = [Piece(at), Piece(at[:5], 3), Piece(at[2:9], 4)]
    white = 1 / 0.225
    for a, b in zip(*(served(dataset, loader, pieces, "train", strengths) for loader in LOADERS), strict=True):
        assert torch.equal(a.targets, b.targets) and a.inputs.shape == b.inputs.shape
        difference = (a.inputs - b.inputs).abs() / white * 255
        assert 0 < difference.max() < 6 and difference.mean() < 1  # grey levels; none at all: it was not DALI's work


@pytest.mark.parametrize("loader", LOADERS)
def test_every_kind_of_pixel_is_read(tmp_path, images, loader):
    folder = write_folder(tmp_path, images) / "train" / "ant"
    for path in folder.iterdir():
        path.unlink()
    colour = (200, 100, 50)
    red_half = Image.new("RGBA", (30, 30), (*colour, 128))
    palette = Image.new("RGB", (30, 30), colour).quantize(4)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    kinds = {
        "cmyk.jpg": (encoded(Image.new("CMYK", (30, 30), (55, 155, 205, 0))), colour),
        "grey.jpg": (encoded(Image.new("L", (30, 30), 77)), (77,) * 3),
        "grey16.png": (encoded(Image.fromarray(np.full((30, 30), 77 * 256 + 200, np.uint16)), "PNG"), (77,) * 3),
        "palette.gif": (encoded(palette, "GIF", transparency=3), colour),
        "palette.png": (encoded(palette, "PNG"), colour),
        "rgba.png": (encoded(red_half, "PNG"), colour),
        "rotated.jpg": (encoded(Image.new("RGB", (60, 20), colour), exif=rotated), colour),
    }
    for name, (data, _) in kinds.items():
        (folder / name).write_bytes(data)
    dataset = ImageFolder(str(tmp_path), **SMALL)
    batch = everything(dataset, "train", loader)
    names = sorted(kinds) + [f"{number:02}" for number in range(10)]
    samples, rows = dataset._parts["train"]
    checked = 0
    for image, row in zip(batch.inputs, rows, strict=True):
        name = os.path.basename(samples.name(row))
        if name in names:
            values = image * torch.tensor([0.229, 0.224, 0.225])[:, None, None]
            values = 255 * (values + torch.tensor([0.485, 0.456, 0.406])[:, None, None])
            assert (values - torch.tensor(kinds[name][1])[:, None, None]).abs().max() < 4, name
            checked += 1
    assert checked >= len(kinds) - 4  # the fitness split has the others


@pytest.mark.parametrize("loader", LOADERS)
def test_orientation_marks_are_ignored(tmp_path, images, loader):
    exif = Image.Exif()
    exif[0x0112] = 6
    squares = {name: smooth(np.random.default_rng(number), 30, 30) for number, name in enumerate(images)}
    plain = write_folder(tmp_path / "a", {name: encoded(image) for name, image in squares.items()})
    marked = write_folder(tmp_path / "b", {name: encoded(image, exif=exif) for name, image in squares.items()})
    a, b = (everything(ImageFolder(str(root), **SMALL), "test", loader) for root in (plain, marked))
    assert torch.equal(a.inputs, b.inputs)


@pytest.mark.parametrize(("kind", "loader"), [(ImageFolder, "torch"), (ImageFolder, "dali"), (ImageRecords, "torch")])
@pytest.mark.parametrize("fault", CORRUPT)
def test_a_corrupt_image_is_refused_by_name_or_counts_nowhere(tmp_path, images, capfd, kind, fault, loader):
    write = write_folder if kind is ImageFolder else write_records
    images["test/bee/01"] = CORRUPT[fault]()
    root = write(tmp_path, images)
    with pytest.raises(SettingError, match="test/bee/01.*data.on_error=skip") as refused:
        everything(kind(str(root), **SMALL), "test", loader)
    assert "\n" not in str(refused.value)

    dataset = kind(str(root), on_error="skip", **SMALL)
    capfd.readouterr()
    piece = Piece(np.arange(6))
    batch, again = served(dataset, loader, [piece, piece], "test")
    said = capfd.readouterr().out
    assert said.count("test/bee/01") == 1 and said.count("\n") == 1 and len(dataset.skipped) == 1
    assert batch.num_samples == 5 and batch.targets.tolist() == [0, 0, 0, 1, IGNORED, 1]
    assert batch.inputs[4].abs().max() < 0.01
    assert torch.equal(batch.inputs, again.inputs)

    del images["test/bee/01"]
    for path in root.rglob("test*/*/*01.jpg"):
        path.unlink()
    for path in root.glob("test*.tar"):
        path.unlink()
    intact = everything(kind(str(write(root, images)), **SMALL), "test", loader)
    counted = batch.targets != IGNORED
    assert torch.equal(batch.inputs[counted], intact.inputs) and torch.equal(batch.targets[counted], intact.targets)


@pytest.mark.parametrize("kind", [ImageFolder, ImageRecords])
def test_names_that_are_no_utf8_are_read_and_can_be_told(tmp_path, images, capfd, kind):
    write = write_folder if kind is ImageFolder else write_records
    name = os.fsdecode(b"test/ant/\xff")
    root = write(tmp_path / "intact", {**images, name: whole()})
    assert everything(kind(str(root), **SMALL), "test").num_samples == 7

    root = write(tmp_path / "corrupt", {**images, name: b""})
    with pytest.raises(SettingError, match=r"test/ant/\\udcff") as refused:
        everything(kind(str(root), **SMALL), "test")
    assert str(refused.value).isprintable()
    assert everything(kind(str(root), on_error="skip", **SMALL), "test").num_samples == 6
    assert "test/ant/\\udcff" in capfd.readouterr().out


@pytest.mark.parametrize("loader", LOADERS)
def test_a_piece_of_corrupt_images_alone_is_served(tmp_path, images, loader):
    images = {name: b"" if name.startswith("test") else data for name, data in images.items()}
    dataset = ImageFolder(str(write_folder(tmp_path, images)), on_error="skip", **SMALL)
    batch = everything(dataset, "test", loader)
    assert batch.num_samples == 0 and batch.inputs.shape == (6, 3, 16, 16)


def test_the_device_loader_refuses(tmp_path, images):
    dataset = ImageFolder(str(write_folder(tmp_path, images)), **SMALL)
    with pytest.raises(SettingError, match="data.loader=device"):
        make_loader("device", dataset, CPU)


def test_strengths_are_checked(tmp_path, images):
    dataset = ImageFolder(str(write_folder(tmp_path, images)), **SMALL)
    for strengths in ({"crop_area": 0}, {"crop_area": 2}, {"crop_area": "much"}, {"crop": 1}):
        with pytest.raises(SettingError, match="data.augment.crop"):
            dataset.transform.check(strengths)


class TestFolders:
    """What stands in them."""

    @pytest.fixture
    def root(self, tmp_path, images):
        return write_folder(tmp_path, images)

    def refused(self, root, match, **settings):
        with pytest.raises(SettingError, match=match) as error:
            ImageFolder(str(root), **{**SMALL, **settings})
        assert "\n" not in str(error.value)

    def test_missing(self, tmp_path, root):
        self.refused(tmp_path / "nowhere", "no folder")
        (tmp_path / "bare").mkdir()
        self.refused(tmp_path / "bare", "no folders")
        (root / "test").rename(root / "elsewhere")
        self.refused(root, "neither test nor val")
        (root / "elsewhere").rename(root / "val")
        assert ImageFolder(str(root), **SMALL).size("test") == 6

    def test_an_empty_class(self, root, capsys):
        (root / "train" / "cat").mkdir()
        self.refused(root, "cat has no images")
        assert ImageFolder(str(root), on_error="skip", **SMALL).num_classes == 3
        assert "cat has no images" in capsys.readouterr().out

    def test_a_class_that_training_does_not_know(self, root):
        (root / "test" / "cat").mkdir()
        self.refused(root, "cat is no class")

    @pytest.mark.parametrize("closed", ["train", "bee"])
    def test_a_folder_that_cannot_be_listed(self, root, monkeypatch, closed):
        def scandir(path):
            if os.path.basename(path) == closed:  # as for all users but root
                raise PermissionError(13, "Permission denied", str(path))
            return os_scandir(path)

        os_scandir = os.scandir
        monkeypatch.setattr("os.scandir", scandir)
        self.refused(root, rf"{closed} cannot be listed \(Permission denied\)")

    def test_links(self, root):
        (root / "train" / "loop").symlink_to("loop")
        self.refused(root, "loop is a link that leads nowhere")
        (root / "train" / "loop").unlink()
        (root / "train" / "up").symlink_to("..")
        self.refused(root, "up has no images")
        (root / "train" / "up").unlink()
        (root / "train" / "ant" / "inner").symlink_to("..")  # folders inside a class are not looked into
        assert ImageFolder(str(root), **SMALL).size("train") == 16

    def test_a_link_to_no_file_is_a_corrupt_image(self, root):
        (root / "test" / "ant" / "00.jpg").unlink()
        (root / "test" / "ant" / "00.jpg").symlink_to("00.jpg")
        with pytest.raises(SettingError, match="test/ant/00.jpg"):
            everything(ImageFolder(str(root), **SMALL), "test")
        assert everything(ImageFolder(str(root), on_error="skip", **SMALL), "test").num_samples == 5

    def test_what_is_no_image(self, root):
        (root / "train" / "ant" / "Thumbs.db").write_bytes(b"")
        (root / "train" / "ant" / ".hidden.jpg").write_bytes(b"")
        (root / "train" / "ant" / "folder.jpg").mkdir()
        os.mkfifo(root / "train" / "ant" / "pipe.jpg")
        assert ImageFolder(str(root), **SMALL).size("train") == 16

    def test_settings(self, root):
        self.refused(root, "data.on_error='ignore'", on_error="ignore")
        self.refused(root, "data.size=32", size=32)
        self.refused(root, "data.mean", mean=[0.5])
        self.refused(root, "data.deviation", deviation=[0.2, 0.2, 0])
        self.refused(root, "data.test_size=3", test_size=3)
        self.refused(root, "data.fitness_size=20", fitness_size=20)
        self.refused(root / "train", "data.test_size=0.1 must be a whole number", test_size=0.1)


class TestShards:
    """What stands in them."""

    @pytest.fixture
    def root(self, tmp_path, images):
        return write_records(tmp_path, images)

    def check(self, root, capsys, match, left=16):
        with pytest.raises(SettingError, match=match) as error:
            ImageRecords(str(root), **SMALL)
        assert "\n" not in str(error.value)
        assert ImageRecords(str(root), on_error="skip", **SMALL).size("train") == left
        assert error.value.args[0].removeprefix("data.root: ").split(";")[0] in capsys.readouterr().out

    def test_missing(self, tmp_path, root):
        with pytest.raises(SettingError, match="no shards"):
            ImageRecords(str(tmp_path / "nowhere"), **SMALL)
        for path in root.glob("test*"):
            path.unlink()
        with pytest.raises(SettingError, match="none for test"):
            ImageRecords(str(root), **SMALL)

    @pytest.mark.parametrize(
        "members",
        [{"x.jpg": b"."}, {"x.jpg": b".", "x.cls": b"bee"}, {"x.jpg": b".", "x.cls": b"-1"}]
        + [
            {"x.jpg": b".", "x.json": content}
            for content in (b"{", b"[3]", b'{"label": 1.5}', b'{"label": true}', b"[" * 100_000)
        ],
    )
    def test_a_record_without_a_label(self, root, capsys, members):
        with tarfile.open(root / "train-100.tar", "w") as tar:
            for name, data in members.items():
                write_member(tar, name, data)
        self.check(root, capsys, "train-100.tar: x has no label")

    def test_a_record_without_an_image(self, root, capsys):
        with tarfile.open(root / "train-100.tar", "w") as tar:
            write_member(tar, "x.cls", b"1")
        self.check(root, capsys, "train-100.tar: x has no image")

    def test_a_record_with_two_images(self, root, capsys):
        with tarfile.open(root / "train-100.tar", "w") as tar:
            for name in ("x.jpg", "x.cls", "x.png"):
                write_member(tar, name, b"1")
        self.check(root, capsys, "train-100.tar: x has two images", left=17)

    @pytest.mark.parametrize("cut_at", ["data", "header", "border"])
    def test_a_shard_cut_short(self, root, capsys, cut_at):
        path = root / "train-000.tar"
        with tarfile.open(path) as tar:
            last = [member for member in tar if member.name.endswith("jpg")][-1]
        end = {"data": last.offset_data + 700, "header": last.offset + 100, "border": last.offset}[cut_at]
        path.write_bytes(path.read_bytes()[:end])
        self.check(root, capsys, "train-000.tar is", left=15)

    def test_a_shard_cut_short_in_an_image_whose_label_came_first(self, root, capsys):
        path = root / "train-100.tar"
        with tarfile.open(path, "w") as tar:
            write_member(tar, "x.cls", b"1")
            write_member(tar, "x.jpg", whole())
        path.write_bytes(path.read_bytes()[:2000])
        self.check(root, capsys, "train-100.tar is")

    def test_a_damaged_header(self, root, capsys):
        path = root / "train-000.tar"
        with tarfile.open(path) as tar:
            last = [member for member in tar if member.name.endswith("jpg")][-1]
        data = bytearray(path.read_bytes())
        data[last.offset + 10] ^= 255
        path.write_bytes(data)
        self.check(root, capsys, "train-000.tar is", left=15)

    @pytest.mark.parametrize(
        ("size", "kind"),
        [(size, tarfile.REGTYPE) for size in (-1, -512, -1024, -1536, 1 << 80)]
        + [(-1024, kind) for kind in (tarfile.DIRTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_SPARSE)],
    )
    def test_a_header_that_lies_about_its_size(self, root, capsys, size, kind):
        """Tarfile would go back by a negative size, and read the same members for ever."""
        path = root / "train-100.tar"
        with tarfile.open(path, "w") as tar:
            write_member(tar, "x.jpg", whole())
            write_member(tar, "x.cls", b"1")
            end = tar.offset
        lie = tarfile.TarInfo("y.jpg")
        lie.size, lie.type = size, kind
        path.write_bytes(path.read_bytes()[:end] + lie.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
        self.check(root, capsys, "train-100.tar is", left=17)

    def test_no_tar_at_all(self, root, capsys):
        (root / "train-100.tar").write_bytes(b"nothing of the kind" * 100)
        self.check(root, capsys, "train-100.tar is no intact, uncompressed tar file")
        (root / "train-100.tar").write_bytes(b"")
        self.check(root, capsys, "train-100.tar is no intact, uncompressed tar file")

    def test_a_shard_that_shrinks_while_it_is_used(self, root):
        dataset = ImageRecords(str(root), **SMALL)
        for path in root.glob("test*"):
            os.truncate(path, 600)
        with pytest.raises(SettingError, match="test-.*test/ant/.*ends"):
            everything(dataset, "test")

    def test_more_shards_than_may_be_open(self, tmp_path, images, monkeypatch):
        monkeypatch.setattr("nestedga.training.data.image_records.OPEN_SHARDS", 2)
        dataset = ImageRecords(str(write_records(tmp_path, images, per_shard=1)), **SMALL)
        before = len(os.listdir("/proc/self/fd"))
        assert everything(dataset, "train").num_samples == 16
        assert len(os.listdir("/proc/self/fd")) <= before + 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_decodes_what_the_cpu_does(tmp_path, images):
    pytest.importorskip("nvidia.dali")
    images["train/ant/05"] = CORRUPT["truncated"]()
    dataset = ImageFolder(str(write_folder(tmp_path, images)), on_error="skip", **SMALL)
    piece = Piece(np.arange(dataset.size("train")), 3)
    (a,) = served(dataset, "torch", [piece], strengths=ALL)
    loader = make_loader("dali", dataset, torch.device("cuda:0"))
    (b,) = loader.batches("train", [piece], ALL)
    loader.close()
    assert b.inputs.is_cuda and torch.equal(a.targets, b.targets.cpu())
    assert (a.inputs - b.inputs.cpu()).abs().max() * 0.225 * 255 < 6


def test_a_run_on_an_image_folder(nestedga, tmp_path, images):
    """Refused at start in one line; or trained, measured and tested without the corrupt ones."""
    images["train/ant/00"] = images["test/ant/00"] = b""
    write_folder(tmp_path / "images", images)
    overrides = (
        *("data=image_folder", f"data.root={tmp_path}/images", "data.size=16", "data.resize=20"),
        *("data.fitness_size=4", "data.batch_size=8", "data.micro_batches=4"),
        *("model=resnet20", "model.depth=8", "model.width=2", "model.num_classes=2"),
        *("search=random", "search.evaluations=2", "space=sgd", "groups.group_size=2"),
    )
    refused = nestedga(0, *overrides, "groups.group_size=1", code=2)
    assert len(refused.said) == 1 and "train/ant/00.jpg" in refused.said[0]
    summary = nestedga(2, *overrides, "data.on_error=skip", folder="other").summary
    assert summary["best"]["test"]["accuracy"] * 5 == pytest.approx(round(summary["best"]["test"]["accuracy"] * 5))
