import contextlib
import os
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageOps

from sr_experiments.data.images import find_images, image_size, read_header, read_image, write_png
from sr_experiments.errors import UserError

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (18, 27, 3), dtype=np.uint8)
GRAY = RANDOM.integers(0, 256, (18, 27), dtype=np.uint8)
RGB16 = RANDOM.integers(0, 65536, (18, 27, 3), dtype=np.uint16)
GRAY16 = RANDOM.integers(0, 65536, (18, 27), dtype=np.uint16)


def png16(path: Path, values: np.ndarray) -> None:
    """Write 16-bit PNG by the specification: Pillow cannot write 16-bit colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    colour = {2: 0, 3: 2}[values.ndim]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def as_rgb(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, axis=2)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_lossless_colour_is_exact(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(RGB).save(path, **({"lossless": True} if suffix == "webp" else {}))
    for gray in ("rgb", "keep"):
        np.testing.assert_array_equal(read_image(path, gray=gray), RGB)
    assert image_size(path) == (18, 27)


def test_jpeg_is_the_photograph(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - smooth).max() < 12


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_gray_has_one_channel_or_three(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"gray.{suffix}"
    Image.fromarray(GRAY).save(path)
    np.testing.assert_array_equal(read_image(path), as_rgb(GRAY))
    np.testing.assert_array_equal(read_image(path, gray="keep"), GRAY[..., None])


def test_one_bit(tmp_path: Path) -> None:
    bits = GRAY > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", gray="keep")[..., 0], bits * 255)


def test_palette(tmp_path: Path) -> None:
    image = Image.fromarray(RGB).quantize(16)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", gray="keep"), np.asarray(image.convert("RGB")))


def test_transparent_palette_entry_becomes_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "L").convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / "a.png", transparency=0)
    white, colour = [255] * 3, [200, 100, 50]
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[white, colour], [colour, white]])


def test_transparent_colour_becomes_white(tmp_path: Path) -> None:
    pixels = np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(1, 2, 3))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[[255] * 3, [9] * 3]])


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_alpha_is_composited_over_white(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    rgba = np.dstack([RGB, GRAY])
    Image.fromarray(rgba).save(path, **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    alpha = GRAY[..., None] / 255
    wanted = RGB * alpha + 255 * (1 - alpha)
    assert np.abs(read_image(path) - wanted).max() <= 1


def test_gray_with_alpha_stays_gray(tmp_path: Path) -> None:
    alpha = RGB[..., 0]
    Image.fromarray(np.dstack([GRAY, alpha]), "LA").save(tmp_path / "a.png")
    wanted = GRAY * (alpha / 255) + 255 * (1 - alpha / 255)
    kept = read_image(tmp_path / "a.png", gray="keep")
    assert kept.shape == (18, 27, 1)
    assert np.abs(kept[..., 0] - wanted).max() <= 1


@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    cmyk = np.broadcast_to(np.array([0, 255, 255, 0], np.uint8), (16, 16, 4))  # magenta + yellow ink = red
    Image.fromarray(np.ascontiguousarray(cmyk), "CMYK").save(path)
    assert np.abs(read_image(path).astype(int) - [255, 0, 0]).max() <= 3


def test_sixteen_bit_png(tmp_path: Path) -> None:
    png16(tmp_path / "gray.png", GRAY16)
    png16(tmp_path / "rgb.png", RGB16)
    np.testing.assert_array_equal(read_image(tmp_path / "gray.png"), as_rgb(GRAY16 >> 8))
    np.testing.assert_array_equal(read_image(tmp_path / "gray.png", gray="keep"), (GRAY16 >> 8)[..., None])
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.png"), RGB16 >> 8)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_sixteen_bit_tiff(tmp_path: Path, byteorder: str) -> None:
    tifffile.imwrite(tmp_path / "gray.tif", GRAY16, photometric="minisblack", byteorder=byteorder)
    tifffile.imwrite(tmp_path / "rgb.tif", RGB16, photometric="rgb", byteorder=byteorder)
    np.testing.assert_array_equal(read_image(tmp_path / "gray.tif", gray="keep")[..., 0], GRAY16 >> 8)
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.tif"), RGB16 >> 8)


def test_tiff_in_separate_planes(tmp_path: Path) -> None:
    for name, values in (("8.tif", RGB), ("16.tif", RGB16)):
        tifffile.imwrite(tmp_path / name, np.moveaxis(values, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "8.tif"), RGB)
    with pytest.raises(UserError, match=r"16\.tif.*separate planes"):
        read_image(tmp_path / "16.tif")


@pytest.mark.parametrize("values", [GRAY, GRAY16], ids=["8 bits", "16 bits"])
def test_tiff_whose_white_is_zero(tmp_path: Path, values: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    wanted = (np.iinfo(values.dtype).max - values) >> (8 * values.itemsize - 8)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", gray="keep")[..., 0], wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int32, np.uint32])
def test_tiff_without_a_known_white_is_refused(tmp_path: Path, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GRAY.astype(dtype), photometric="minisblack")
    with pytest.raises(UserError, match=r"a\.tif.*8 or 16 bits"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_exif_rotation_is_undone(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a.{suffix}"
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16] = 255  # a white corner at the top left
    undo = {
        2: 0,
        3: 3,
        4: 1,
        5: 5,
        6: 2,
        7: 6,
        8: 4,
    }  # Transpose members that turn the upright image into the stored one
    stored = Image.fromarray(upright)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(path, exif=exif, **({"quality": 95} if suffix == "jpg" else {}))
    assert np.abs(read_image(path).astype(int) - upright).max() < 40
    assert image_size(path) == (32, 48)


def test_sixteen_bit_rotation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GRAY16).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", gray="keep")[..., 0], np.rot90(GRAY16 >> 8, -1))
    assert read_header(tmp_path / "a.png") == (27, 18, "I;16")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_truncated_file_names_itself(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"half.{suffix}"
    Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=rf"half\.{suffix} in {tmp_path}"):
        read_image(path)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_damaged_bytes_never_end_in_a_traceback(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "tif", "webp", "bmp"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(RGB).save(path)
        whole = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            for place in RANDOM.integers(0, len(whole), 4):
                damaged[place] = RANDOM.integers(256)
            path.write_bytes(damaged)
            with contextlib.suppress(UserError):
                assert read_image(path).dtype == np.uint8


@pytest.mark.parametrize("content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_no_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.png in .*no PNG"):
        read_image(tmp_path / "a.png")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"no file a\.png in {tmp_path}"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("side", [10_000, 40_000], ids=["warned of by Pillow", "refused by Pillow"])
@pytest.mark.parametrize("read", [read_image, image_size])
def test_decompression_bomb(tmp_path: Path, side: int, read: object) -> None:
    png16(tmp_path / "bomb.png", np.zeros((1, 1), np.uint16))
    data = bytearray((tmp_path / "bomb.png").read_bytes())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "bomb.png").write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(UserError, match=rf"bomb\.png in {tmp_path}.*{side * side} pixels"):
            read(tmp_path / "bomb.png")


@settings(max_examples=20)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))))
def test_png_round_trip(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "deep" / "er" / "a.png"
    write_png(path, pixels)
    np.testing.assert_array_equal(read_image(path, gray="keep"), pixels)
    assert list(path.parent.iterdir()) == [path]


def test_png_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write a\.png in"):
        write_png(tmp_path / "file" / "a.png", RGB)


def test_find_images(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/z.jpeg", "a/b/c.WebP", "B.tif", ".hidden.png", ".git/x.png", "a/notes.txt", "d.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["B.tif", "a/b/c.WebP", "a/z.jpeg", "b.PNG"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_find_images_follows_links_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").touch()
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "photos").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "set")
    assert find_images(tmp_path / "set") == [tmp_path / "set" / "photos" / "a.png"]


def test_find_images_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no folder {tmp_path / 'nowhere'}"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no image in .*\.png, .*\.webp"):
        find_images(tmp_path)
    (tmp_path / "a.png").touch()
    with pytest.raises(UserError, match="is a file"):
        find_images(tmp_path / "a.png")


def test_every_asset_matches_pillow(assets: Path) -> None:
    for path in find_images(assets / "data" / "Set14"):
        wanted = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        np.testing.assert_array_equal(read_image(path), wanted)
    assert read_image(assets / "data" / "Set14" / "bridge.png", gray="keep").shape[2] == 1


def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"cannot read pipe.png .* a pipe or a device"):
        read_image(tmp_path / "pipe.png")
