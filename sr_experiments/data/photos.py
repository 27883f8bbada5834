"""Lists of photographs: folders, pairs of folders, and benchmark sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sr_experiments.data.images import find_images, image_size
from sr_experiments.errors import UserError

_LISTED = 5  # how many names an error message spells out


@dataclass(frozen=True)
class Photo:
    """One photograph.

    Attributes:
        name: unique within its set; where the file lay below its folder, without suffix, with forward slashes.
        hr: the file with the ground truth.
        lr: the file with a low-resolution image of the same view, if one is stored.
        refs: files with reference images, in any size.
        condition: the file with the class probabilities of its pixels; see `open_condition`.
    """

    name: str
    hr: Path
    lr: Path | None = None
    refs: tuple[Path, ...] = ()
    condition: Path | None = None


def hr_folder(
    hr: str | Path | Sequence[str | Path], condition: str | Path | Sequence[str | Path] | None = None
) -> list[Photo]:
    """List the photographs at any depth below a folder, or below each of several.

    Args:
        hr: the folder or folders.
        condition: folder, or as many folders, with a map of classes for each photograph, `NAME.npy` or `NAME.png`; see
            `open_condition`. None for photographs without.

    Raises:
        UserError: no folder, no image in it, two files that differ only in their suffix, or a map is missing.
    """
    roots = _folders(hr)
    maps = [None] * len(roots) if condition is None else _folders(condition)
    if len(maps) != len(roots):
        raise UserError(
            f"data.train.hr names {len(roots)} folders and data.train.condition {len(maps)}: give one for each."
        )
    pairs = zip(roots, maps, strict=True)
    return [photo for root, below in pairs for photo in _with_conditions(_named(root, find_images(root)), below)]


def paired_folders(hr: str | Path, lr: str | Path, scale: int) -> list[Photo]:
    """Match every photograph in one folder with the low-resolution file of the same name in another.

    An LR file may carry the scale at the end of its name, as in `0001x4.png` or `0001_x4.png`. An HR image may be
    larger than `scale` times its LR image by less than `scale` pixels a side; the data sets cut the surplus off at
    the bottom and at the right.

    Raises:
        UserError: a file without partner, or a pair whose sizes do not fit the scale.
    """
    photos = hr_folder(hr)
    partners = _lr_by_name(Path(lr).expanduser(), {photo.name for photo in photos}, scale)
    alone = [photo.name for photo in photos if photo.name not in partners]
    if alone:
        raise UserError(f"no LR image at x{scale} in {Path(lr).absolute()} for {some(alone)} of {Path(hr).absolute()}.")
    pairs = [Photo(photo.name, photo.hr, partners[photo.name]) for photo in photos]
    for pair in pairs:
        _check_sizes(pair, scale)
    return pairs


def benchmark_set(root: str | Path, name: str, scale: int) -> list[Photo]:
    """List a benchmark set that lies under a folder of sets, in one of the usual layouts.

    `root/name/*.png` holds ground truth alone. `root/name/HR/*.png` may have LR images at its side, in
    `root/name/LR/x{scale}` or `root/name/LR_bicubic/X{scale}`; sets without them get their LR images from the
    degradation. `root/name/condition` may hold maps of classes, as of `hr_folder`. Capitals in folder names do not
    matter; `name` may have several parts, as in `BSDS500/val`.

    Raises:
        UserError: there is no such folder or set (the message names the sets that are there), or it holds no image.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise UserError(f"there is no folder of benchmark sets at {folder.absolute()}; check `data.root`.")
    found = _descend(folder, *Path(name).parts)
    if found is None:
        names = sorted(child.name for child in _subfolders(folder))
        there = f"it has {', '.join(names)}" if names else "it has no folders at all"
        raise UserError(f"no benchmark set {name!r} in {folder.absolute()}: {there}.")
    hr, maps = _descend(found, "HR"), _descend(found, "condition")
    if hr is None:
        # Only this level: an LR folder further down must not be taken for ground truth.
        files = [path for path in find_images(found) if path.parent == found]
        if not files:
            raise UserError(f"no image in {found.absolute()} or in {found.absolute() / 'HR'}; is the set complete?")
        return _with_conditions(_named(found, files), maps)
    lr = _descend(found, "LR", f"x{scale}") or _descend(found, "LR_bicubic", f"x{scale}")
    return _with_conditions(hr_folder(hr) if lr is None else paired_folders(hr, lr, scale), maps)


def _folders(named: str | Path | Sequence[str | Path]) -> list[Path]:
    folders = [named] if isinstance(named, str | Path) else list(named)
    if "" in folders:
        raise UserError("an empty name stands where a folder of images should: is a variable of the shell empty?")
    return [Path(folder).expanduser() for folder in folders]


def _with_conditions(photos: list[Photo], folder: Path | None) -> list[Photo]:
    """Give every photograph the map of its name in `folder`; None for none."""
    if folder is None:
        return photos
    return [replace(photo, condition=condition_file(folder, photo.name, photo.hr)) for photo in photos]


def condition_file(folder: Path, name: str, image: Path) -> Path:
    """Find the map of classes, `NAME.npy` or `NAME.png` in `folder`, that belongs to an image.

    Raises:
        UserError: neither is there, or both are.
    """
    files = [folder / f"{name}{suffix}" for suffix in (".npy", ".png")]
    there = [file for file in files if file.is_file()]
    if len(there) == 1:
        return there[0]
    if there:
        raise UserError(f"{image} has two conditions, {there[0].absolute()} and {there[1].name}: remove one of them.")
    raise UserError(f"no condition belongs to {image}: there is neither {files[0].absolute()} nor {files[1].name}.")


def _named(root: Path, files: list[Path]) -> list[Photo]:
    by_name: dict[str, Path] = {}
    for path in files:
        name = path.relative_to(root).with_suffix("").as_posix()
        if name in by_name:
            raise UserError(
                f"{by_name[name].name} and {path.name} in {path.parent.absolute()} share one name; "
                "rename or remove one of them."
            )
        by_name[name] = path
    return [Photo(name, path) for name, path in by_name.items()]


def _lr_by_name(lr: Path, names: set[str], scale: int) -> dict[str, Path]:
    partners: dict[str, Path] = {}
    strangers = []
    for photo in hr_folder(lr):
        name = photo.name if photo.name in names else re.sub(rf"_?[xX]{scale}$", "", photo.name)
        if name in partners:
            raise UserError(
                f"{partners[name].name} and {photo.hr.name} in {lr.absolute()} both belong to {name}; "
                "remove one of them."
            )
        if name in names:
            partners[name] = photo.hr
        else:
            strangers.append(photo.name)
    if strangers:
        raise UserError(f"no HR image belongs to {some(strangers)} in {lr.absolute()}, at x{scale}.")
    return partners


def _check_sizes(pair: Photo, scale: int) -> None:
    assert pair.lr is not None
    hr, lr = image_size(pair.hr), image_size(pair.lr)
    if any(not 0 <= large - scale * small < scale for large, small in zip(hr, lr, strict=True)):
        raise UserError(
            f"{pair.hr.absolute()} is {hr[1]}x{hr[0]} pixels and its LR image {pair.lr.absolute()} is {lr[1]}x{lr[0]}, "
            f"which does not fit scale {scale}."
        )


def _descend(folder: Path, *names: str) -> Path | None:
    for name in names:
        match = [child for child in _subfolders(folder) if child.name.lower() == name.lower()]
        if not match:
            return None
        # Two that differ in capitals only: the exact one wins.
        folder = next((child for child in match if child.name == name), match[0])
    return folder


def _subfolders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def some(names: list[str]) -> str:
    """The first few names and the number of the others, for a message."""
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")
