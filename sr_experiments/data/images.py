"""Reading, writing and finding image files: the edge where files become uint8 arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin

from sr_experiments.errors import UserError
from sr_experiments.pixels.atomic import replacing

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

# Only these decoders are allowed: some others of Pillow start external programs.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N", "I"}
_GRAY = {"1", "L", "LA"} | _SIXTEEN_BIT


class Header(NamedTuple):
    """What the header of an image file says: the size after EXIF rotation, and Pillow's name of its mode."""

    height: int
    width: int
    mode: str


def read_image(path: str | Path, gray: Literal["rgb", "keep"] = "rgb") -> NDArray[np.uint8]:
    """Decode an image file as an image viewer shows it.

    EXIF rotation is applied, alpha is composited over white, 16 bits become the upper 8, and only the first frame of
    a file with many is read. A colour profile is ignored.

    Args:
        path: a PNG, JPEG, BMP, TIFF or WebP file.
        gray: what becomes of a file stored in a gray mode: three equal channels ("rgb") or one channel ("keep").

    Returns:
        uint8 in [0, 255], shape (H, W, 3), or (H, W, 1) for a gray file with `gray="keep"`.

    Raises:
        UserError: the file is missing, damaged, no image, too large to be decoded safely, or stored as floats.
    """
    with _opened(Path(path)) as image:
        is_gray = image.mode in _GRAY
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        pixels = _sixteen_bit_pixels(image) if image.mode in _SIXTEEN_BIT else _eight_bit_pixels(image)
    if is_gray and gray == "keep":
        return np.ascontiguousarray(pixels[..., :1])
    return pixels


def read_header(path: str | Path) -> Header:
    """Read size and mode without decoding; an EXIF rotation already counts in the size.

    Raises:
        UserError: the file is missing, no image, or too large to be decoded safely.
    """
    with _opened(Path(path)) as image:
        width, height = image.size
        # PngImageFile.getexif would decode the whole file to look behind the pixels; TIFF sizes are turned already.
        if image.format != "TIFF" and Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1) >= 5:
            width, height = height, width
        return Header(height, width, image.mode)


def image_size(path: str | Path) -> tuple[int, int]:
    """Read (height, width) of a file without decoding it; see `read_header`."""
    header = read_header(path)
    return header.height, header.width


def write_png(path: str | Path, pixels: NDArray[np.uint8]) -> None:
    """Write a PNG file that is either complete or absent; missing folders are made.

    Args:
        path: the file to write or replace.
        pixels: uint8, shape (H, W, 3), (H, W, 1) or (H, W).

    Raises:
        UserError: the file cannot be written there (no permission, disk full).
    """
    path = Path(path)
    try:
        with replacing(path) as unfinished:  # hidden and without an image's extension, so that `find_images` skips it
            image = Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
            image.save(unfinished, "PNG")
    except OSError as error:
        raise UserError(f"cannot write {path.name} in {path.parent.absolute()}: {error.strerror or error}.") from error


def find_images(folder: str | Path) -> list[Path]:
    """List the image files below a folder, in the same order on every machine.

    Hidden files and folders are skipped; links to folders are followed, each real folder once.

    Raises:
        UserError: the folder is missing, is a file, or holds no image.
    """
    root = Path(folder).expanduser()
    if not root.exists():
        raise UserError(f"there is no folder {root.absolute()}; check the path.")
    if not root.is_dir():
        raise UserError(f"{root.absolute()} is a file, but a folder of images is needed; give the folder it lies in.")
    found = sorted(_walk(root), key=lambda path: path.relative_to(root).as_posix())
    if not found:
        raise UserError(f"no image in {root.absolute()}: looked at every depth for {', '.join(EXTENSIONS)}.")
    return found


def _walk(root: Path) -> Iterator[Path]:
    seen: set[Path] = set()
    for current, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        here = Path(current)
        if here.resolve() in seen:
            folders.clear()
            continue
        seen.add(here.resolve())
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and name.lower().endswith(EXTENSIONS):
                yield here / name


def _refuse(error: OSError) -> NoReturn:
    raise UserError(f"cannot look into {error.filename}: {error.strerror}; check its permissions.") from error


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    where = f"{path.name} in {path.parent.absolute()}"
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            raise ValueError("it is a folder, a pipe or a device")
        with Image.open(path, formats=_FORMATS) as image:
            pixels = image.width * image.height
            if Image.MAX_IMAGE_PIXELS is not None and pixels > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError(f"Image size ({pixels} pixels) exceeds the limit")
            yield image
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"there is no file {where}; check the path.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"refused to decode {where}: {error}. Remove it or cut it into smaller images.") from error
    except Exception as error:  # decoders raise exceptions of every kind on damaged files
        reason = "no PNG, JPEG, BMP, TIFF or WebP image" if isinstance(error, Image.UnidentifiedImageError) else error
        raise UserError(f"cannot read {where}: {reason}. Repair, convert or remove the file.") from error


def _eight_bit_pixels(image: Image.Image) -> NDArray[np.uint8]:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        planes = image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2
        if planes and image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,))[0] > 8:
            # Pillow reads such planes in the wrong byte order and reports no error.
            raise ValueError("it holds 16-bit colour in separate planes; store it interleaved")
    if image.mode == "F":
        raise ValueError("it holds floats, whose white is not known, instead of 8 or 16 bits a channel")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _sixteen_bit_pixels(image: Image.Image) -> NDArray[np.uint8]:
    # The upper byte, which is also what Pillow keeps of 16-bit colour: gray and colour agree.
    values = np.asarray(image).astype(np.int64)
    bits, signed = 16, False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
        signed = image.tag_v2.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0] != 1
        if image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # white is zero
            values = (1 << bits) - 1 - values
    if signed or bits > 16:
        raise ValueError("it holds signed or 32-bit integers, whose white is not known, instead of 8 or 16 bits")
    return np.repeat((values >> (bits - 8)).astype(np.uint8)[..., None], 3, axis=2)
