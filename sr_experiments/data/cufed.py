"""The layouts of the data sets with references: CUFED to train on, CUFED5 to evaluate on.

Source: Zhang et al., Image Super-Resolution by Neural Texture Transfer, CVPR 2019.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sr_experiments.data.images import find_images
from sr_experiments.data.photos import Photo, hr_folder, some
from sr_experiments.errors import UserError

LEVELS = (1, 2, 3, 4, 5)  # the references of CUFED5, from the most to the least similar

_NUMBERED = re.compile(r"(?P<group>.+)_(?P<number>\d+)")


def reference_folders(input: str | Path, ref: str | Path) -> list[Photo]:
    """Match every photograph in one folder with the reference of the same name in another, as CUFED is laid out.

    Suffixes need not be equal, nor sizes.

    Raises:
        UserError: a photograph without reference or the other way round, or a folder without images.
    """
    photos = hr_folder(input)
    refs = {photo.name: photo.hr for photo in hr_folder(ref)}
    alone = [photo.name for photo in photos if photo.name not in refs]
    if alone:
        raise UserError(f"no reference in {Path(ref).absolute()} for {some(alone)} of {Path(input).absolute()}.")
    names = {photo.name for photo in photos}
    strangers = [name for name in refs if name not in names]
    if strangers:
        raise UserError(
            f"no photograph in {Path(input).absolute()} for the reference {some(strangers)} of {Path(ref).absolute()}."
        )
    return [replace(photo, refs=(refs[photo.name],)) for photo in photos]


def cufed5(root: str | Path, references: Sequence[int] = LEVELS) -> list[Photo]:
    """List a test set laid out as CUFED5: `NNN_0.png` the photograph, `NNN_1.png` and so on its references.

    Only files directly in `root` whose names end in a number count.

    Args:
        root: the folder.
        references: which of the references to take, in this order.

    Raises:
        UserError: a group lacks its photograph or one of these references, two files share one name, or nothing in
            the folder is named so.
    """
    folder = Path(root).expanduser()
    groups: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in find_images(folder):
        match = _NUMBERED.fullmatch(path.stem)
        if match is None or path.parent != folder:
            continue
        group, number = groups[match["group"]], int(match["number"])
        if number in group:
            raise UserError(
                f"{group[number].name} and {path.name} in {folder.absolute()} are the same of one group; "
                "rename or remove one of them."
            )
        group[number] = path
    if not groups:
        raise UserError(f"no image in {folder.absolute()} is named as in CUFED5, 000_0.png, 000_1.png and so on.")
    for name, files in groups.items():
        missing = [number for number in (0, *references) if number not in files]
        if missing:
            what = "photograph" if missing[0] == 0 else "reference"
            raise UserError(
                f"group {name} in {folder.absolute()} has no {what} {name}_{missing[0]}.png; "
                "add it, or remove the group's other files."
            )
    return [Photo(name, files[0], refs=tuple(files[n] for n in references)) for name, files in sorted(groups.items())]


def cufed5_sets(
    root: str | Path | None, levels: Sequence[int] = LEVELS, required: bool = True
) -> dict[str, list[Photo]]:
    """List CUFED5 once for each level of similarity, with that reference alone, and once with all of them.

    Args:
        root: the folder.
        levels: the references to take.
        required: whether a missing `root` is an error; else there is no set at all without one.

    Returns:
        `CUFED5_L1` and so on, and `CUFED5_all`.

    Raises:
        UserError: as of `cufed5`, or there is no `root`.
    """
    if root is None:
        if required:
            raise UserError("data.root, the folder with 000_0.png, 000_1.png and so on, is not set.")
        return {}
    photos = cufed5(root, levels)
    sets = {
        f"CUFED5_L{level}": [replace(photo, refs=(photo.refs[place],)) for photo in photos]
        for place, level in enumerate(levels)
    }
    return {**sets, "CUFED5_all": photos}
