from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_experiments.data.photos import Photo
from sr_experiments.data.references import (
    NoReference,
    Other,
    Sample,
    Stored,
    Warped,
    Window,
    evaluation_random,
    training_random,
    warp,
)
from sr_experiments.errors import UserError

Pixels = np.ndarray


def coordinates(height: int, width: int) -> Pixels:
    """Make an image whose pixels tell their column and row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, rows ^ columns], axis=2).astype(np.uint8)


def reader(files: dict[str, Pixels]) -> Callable[[Path], Pixels]:
    return lambda path: files[path.name]


def waves(row: Pixels, column: Pixels, height: int, width: int) -> Pixels:
    """A pattern that goes on mirrored beyond the borders by its own formula; coordinates are those of pixel edges."""
    channels = [
        np.cos(np.pi * across * column / width) * np.cos(np.pi * down * row / height)
        for across, down in ((3, 0), (0, 2), (2, 3))
    ]
    return 127.5 + 120 * np.stack(channels, axis=-1)


@settings(max_examples=60)
@given(
    st.tuples(st.integers(-20, 70), st.integers(-20, 90), st.integers(8, 40), st.integers(8, 40)),
    st.floats(0.8, 2.5),
    st.floats(-180, 180),
    st.floats(-60, 60),
    st.floats(-60, 60),
)
def test_warp_shows_what_the_inverse_map_says(
    box: tuple[int, int, int, int], scale: float, degrees: float, down: float, right: float
) -> None:
    centres = np.mgrid[:90, :110] + 0.5
    image = np.round(waves(*centres, 90, 110)).astype(np.uint8)
    top, left, height, width = box
    warped = warp(image, box, scale, degrees, (down, right))
    assert warped.shape == (height, width, 3)
    # Complex numbers: column + row * i, rows downwards, so that a positive angle turns clockwise.
    rows, columns = np.mgrid[:height, :width] + 0.5
    place = (columns - width / 2 - right) + 1j * (rows - height / 2 - down)
    source = place / (scale * np.exp(1j * np.radians(degrees))) + (left + width / 2) + 1j * (top + height / 2)
    wanted = waves(source.imag, source.real, 90, 110)
    np.testing.assert_allclose(warped, wanted, atol=2)


@given(st.integers(-50, 50), st.integers(-50, 50))
def test_warp_that_only_moves_is_exact(down: int, right: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    far = np.pad(image, ((80, 80), (80, 80), (0, 0)), mode="symmetric")
    wanted = far[84 - down : 84 - down + 12, 86 - right : 86 - right + 10]
    np.testing.assert_array_equal(warp(image, (4, 6, 12, 10), 1.0, 0.0, (down, right)), wanted)


def fitted(warped: Pixels) -> tuple[float, float, float, float]:
    """Scale, degrees and movement in pixels (down, right) of a warped image of coordinates, by least squares."""
    height, width = warped.shape[:2]
    rows, columns = np.mgrid[:height, :width] + 0.5
    known = np.stack([columns.ravel() - width / 2, rows.ravel() - height / 2, np.ones(height * width)], axis=1)
    to_column, to_row = np.linalg.lstsq(known, warped[..., :2].reshape(-1, 2) + 0.5, rcond=None)[0].T
    back = np.array([to_column[:2], to_row[:2]])
    scale = 1 / np.sqrt(np.linalg.det(back))
    degrees = np.degrees(np.arctan2(back[0, 1], back[0, 0]))
    centre = np.array([to_column[2], to_row[2]]) - 128
    right, down = -np.linalg.inv(back) @ centre
    return scale, degrees, down, right


def test_warped_references_stay_within_the_ranges_and_use_them() -> None:
    hr, window = coordinates(256, 256), Window(96, 96, 64)  # far enough inside that nothing is mirrored
    found = []
    for key in range(200):
        [reference] = Warped().find(Sample(Photo("a", Path("a")), hr, window, reader({}), training_random(key)))
        assert reference.shape == (64, 64, 3)
        assert reference.dtype == np.uint8
        found.append(fitted(reference))
    scale, degrees, down, right = np.array(found).T
    for values, low, high in ((scale, 1.2, 2), (abs(degrees), 10, 30), (abs(down), 16, 32), (abs(right), 16, 32)):
        slack = (high - low) / 50
        assert low - slack < values.min() < low + 3 * slack
        assert high - 3 * slack < values.max() < high + slack
    for values in (degrees, down, right):
        assert 70 < (values > 0).sum() < 130


def test_warped_reference_of_a_whole_photograph_is_as_large() -> None:
    hr = coordinates(32, 50)
    warped = Warped(translation=[0.5, 0.5], rotation=[0, 0], scale=[1, 1])
    [reference] = warped.find(Sample(Photo("a", Path("a")), hr, None, reader({}), evaluation_random(0, 0)))
    assert reference.shape == hr.shape
    # Every row and every column is one of the photograph's, mirrored ones among them: nothing is empty.
    far = np.pad(np.arange(32), 32, mode="symmetric"), np.pad(np.arange(50), 50, mode="symmetric")
    starts = [
        [start for start in range(2 * length) if (line == pad[start : start + length]).all()]
        for line, pad, length in ((reference[:, 0, 1], far[0], 32), (reference[0, :, 0], far[1], 50))
    ]
    assert all(starts), reference
    np.testing.assert_array_equal(reference, hr[reference[:, :1, 1], reference[:1, :, 0]])


sizes = st.integers(1, 60)


@given(sizes, sizes, sizes, sizes, st.integers(1, 30), st.data())
def test_windows_of_stored_references(
    height: int, width: int, rows: int, columns: int, size: int, data: st.DataObject
) -> None:
    side = data.draw(st.integers(1, min(height, width)))
    top, left = data.draw(st.integers(0, height - side)), data.draw(st.integers(0, width - side))
    photo = Photo("a", Path("a.png"), refs=(Path("r.png"), Path("same.png")))
    hr = coordinates(height, width)
    files = reader({"r.png": coordinates(rows, columns), "same.png": hr})
    first, same = Stored(size).find(Sample(photo, hr, Window(top, left, side), files, training_random(0)))
    assert first.shape[:2] == (min(size, rows), min(size, columns))
    for axis, (begin, length, own) in enumerate(((top, height, rows), (left, width, columns))):
        kept = min(size, own)
        start = int(first[0, 0, 1 - axis])
        wished = (begin + side / 2) / length * own - size / 2
        assert abs(start - min(max(wished, 0), own - kept)) <= 0.5  # the nearest place to it inside the reference
    if size == side:
        np.testing.assert_array_equal(same, hr[top : top + side, left : left + side])


def test_stored_references_are_whole_where_no_window_is_asked_for() -> None:
    files = {"1.png": coordinates(9, 8), "2.png": coordinates(30, 50)}
    photo = Photo("a", Path("a.png"), refs=(Path("1.png"), Path("2.png")))
    hr = coordinates(20, 20)
    for references, window in ((Stored(), Window(2, 3, 8)), (Stored(8), None)):
        found = references.find(Sample(photo, hr, window, reader(files), training_random(0)))
        for reference, wanted in zip(found, files.values(), strict=True):
            np.testing.assert_array_equal(reference, wanted)
    assert Stored().files([photo, photo]) == [Path("1.png"), Path("2.png")] * 2


def test_other_draws_every_photograph_but_the_sample() -> None:
    photos = [Photo(str(number), Path(f"{number}.png")) for number in range(4)]
    files = {f"{number}.png": np.full((5, 6, 3), number, np.uint8) for number in range(4)}
    other = Other([*photos, photos[2]])  # named twice, drawn as if once
    hr = coordinates(5, 6)

    def draws(photo: Photo) -> Counter[int]:
        found = (other.find(Sample(photo, hr, None, reader(files), training_random(key))) for key in range(400))
        return Counter(int(reference[0, 0, 0]) for [reference] in found)

    inside, outside = draws(photos[1]), draws(Photo("x", Path("x.png")))
    assert set(inside) == {0, 2, 3}
    assert min(inside.values()) > 100
    assert set(outside) == {0, 1, 2, 3}
    assert min(outside.values()) > 65
    assert other.files([]) == [photo.hr.absolute() for photo in photos]


def test_no_reference() -> None:
    photo = Photo("a", Path("a"))
    NoReference().check([photo])
    assert NoReference().find(Sample(photo, coordinates(4, 4), None, reader({}), training_random(0))) == []
    assert NoReference().files([photo]) == []


def test_same_random_numbers_on_every_machine() -> None:
    # Written down once: a resumed run must draw the same after an update of this package.
    assert training_random(7).integers(1000, size=4).tolist() == [396, 632, 785, 486]
    assert evaluation_random(7, 1).integers(1000, size=4).tolist() == [732, 440, 186, 280]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stored(0), r"references\.size=0"),
        (lambda: Other([], 5), r"references\.photos lists no photograph"),
        (lambda: Other([Photo("a", Path("a"))], -1), r"references\.size=-1"),
        (lambda: Warped(rotation=[30, 10]), r"references\.rotation=\[30, 10\]"),
        (lambda: Warped(translation=[0.5]), r"references\.translation=\[0\.5\]"),
        (lambda: Warped(scale=[0, 1]), r"references\.scale=\[0, 1\]"),
        (lambda: evaluation_random(-1, 0), r"seed=-1"),
        (lambda: Stored().check([Photo("a", Path("a")), Photo("b", Path("b"), refs=(Path("r"),))]), "belongs to a;"),
        (lambda: Other([Photo("a", Path("a"))]).check([Photo("a", Path("a"))]), "a is the only photograph"),
    ],
)
def test_what_cannot_be_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()
