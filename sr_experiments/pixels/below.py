"""Paths made of names that come from a user's config or from a foreign run folder."""

from __future__ import annotations

from pathlib import Path, PurePath

from sr_experiments.errors import UserError


def is_plain(name: object) -> bool:
    """Whether a name is a relative path that cannot leave its folder, such as `Set5` or `BSDS500/val`."""
    if not isinstance(name, str) or not name or "\0" in name or name.startswith("~"):
        return False
    path = PurePath(name)
    return bool(path.parts) and not path.anchor and ".." not in path.parts


def below(folder: Path, name: str, ending: str = "") -> Path:
    """The file `folder/name` with an ending, which lies below `folder` also after links are resolved.

    This is the only way from a name in a config, in results or in a sweep's record to a path, in reading as well as in
    writing.

    Raises:
        UserError: the name is not a plain relative one, or a link leads out of the folder.
    """
    if not is_plain(name):
        raise UserError(f"{name!r} is no name of a file below {folder}: it must be a plain relative path.")
    path = folder / f"{name}{ending}"
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{path} leads out of {folder} through a link.")
    return path
