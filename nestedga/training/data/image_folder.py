"""Image folders: one folder a class, as torchvision and most published archives have them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nestedga.errors import SettingError
from nestedga.training.data.encoded import DEVIATION, MEAN, SUFFIXES, EncodedImages, printable, skips


class ImageFolder(EncodedImages):
    """``root/train/CLASS/*.jpg`` and ``root/test/CLASS/*.jpg`` (or ``val``); or ``root/CLASS/*.jpg``, cut by us.

    Classes are numbered in the order of their names. At start the folders are listed and no file is opened, which
    takes some seconds for a million files; more are better kept as records.

    Args:
        root: the folder.
        fitness_size, test_size, size, resize, mean, deviation, on_error: as ``EncodedImages`` has them.

    Raises:
        SettingError: a folder is missing or cannot be listed, or a class has no images; with ``on_error: skip`` such a
            class only goes without.
    """

    def __init__(
        self,
        root: str,
        fitness_size: int,
        test_size: int | None = None,
        size: int = 224,
        resize: int = 256,
        mean: Sequence[float] = MEAN,
        deviation: Sequence[float] = DEVIATION,
        on_error: str = "refuse",
    ) -> None:
        home = Path(root).expanduser()
        skip = skips(on_error)
        test = None
        if (home / "train").is_dir():
            classes = _folders(home / "train")
            folder = next((home / name for name in ("test", "val") if (home / name).is_dir()), None)
            if folder is None:
                raise SettingError(
                    f"data.root={root} has a folder train but neither test nor val; add one, or put "
                    "the class folders into data.root itself and set data.test_size"
                )
            for name in _folders(folder):
                if name not in classes:
                    raise SettingError(f"data.root: {folder / name} is no class of {home / 'train'}; remove or add it")
            train = Files(home / "train", classes, skip)
            test = Files(folder, [name for name in classes if (folder / name).is_dir()], skip, classes)
        else:
            classes = _folders(home)
            train = Files(home, classes, skip)
        self.classes, self.num_classes = classes, len(classes)
        super().__init__((train, test), test_size, fitness_size, size, resize, mean, deviation, on_error)


class Files:
    """The image files of some class folders.

    Args:
        root: folder of the class folders.
        folders: their names.
        skip: say so and go on where a folder has no images, rather than refuse.
        classes: all names, numbered; None: ``folders`` are all.
    """

    def __init__(self, root: Path, folders: Sequence[str], skip: bool, classes: Sequence[str] | None = None) -> None:
        number = {name: at for at, name in enumerate(folders if classes is None else classes)}
        names, targets = [], []  # arrays, a folder each: a tenth of the memory that Python strings take
        for folder in folders:
            try:
                found = sorted(
                    os.fsencode(f"{folder}/{entry.name}")
                    for entry in os.scandir(root / folder)
                    # Neither of the last two is a call to the disk.
                    if _is_image(entry.name) and (entry.is_symlink() or entry.is_file())
                )
            except OSError as error:
                raise _unlisted(root / folder, error) from error
            if not found:
                fault = printable(f"{root / folder} has no images ({', '.join(SUFFIXES)})")
                if not skip:
                    raise SettingError(f"data.root: {fault}; remove it, or set data.on_error=skip")
                print(f"nestedga: {fault}; the class keeps its number, {number[folder]}", flush=True)
            names.append(np.array(found, np.bytes_))
            targets.append(np.full(len(found), number[folder], np.int64))
        self._root = root
        self._names, self.targets = np.concatenate(names), np.concatenate(targets)

    def name(self, index: int) -> str:
        return printable(str(self._path(index)))

    def read(self, index: int) -> bytes:
        return self._path(index).read_bytes()

    def _path(self, index: int) -> Path:
        return self._root / os.fsdecode(self._names[index])


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().rpartition(".")[2] in SUFFIXES


def _folders(root: Path) -> list[str]:
    """Names of the folders in ``root``, in order."""
    if not root.is_dir():
        raise SettingError(f"data.root: there is no folder {root}")
    try:
        names = sorted(entry.name for entry in os.scandir(root) if not entry.name.startswith("."))
        for name in names:
            if (root / name).is_symlink() and not (root / name).exists():
                raise SettingError(f"data.root: {root / name} is a link that leads nowhere; remove it")
        names = [name for name in names if (root / name).is_dir()]
    except OSError as error:
        raise _unlisted(root, error) from error
    if not names:
        raise SettingError(f"data.root: {root} has no folders, which would be the classes")
    return names


def _unlisted(folder: Path, error: OSError) -> SettingError:
    return SettingError(f"data.root: {folder} cannot be listed ({error.strerror}); mend its permissions, or remove it")
