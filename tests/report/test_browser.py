"""The page in a real browser, opened from disk."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from sr_experiments.commands.report import main
from sr_experiments.report.statistics import paired_differences
from tests.report.browser import opened
from tests.report.folders import curve_table, picture, scores, write_run, write_sweep

EVIL = "<script>window.evil=1</script><img src=x onerror='window.evil=1'>"
NAMES = ["astronaut", "chelsea", "c", "d", "e", "f"]
L1, MSE = "loss=l1, learning_rate=0.001", "loss=mse, learning_rate=0.001"
LOADED = "Review.viewers.every(v => v.world.getItemCount() && v.world.getItemAt(0).getFullyLoaded())"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    for place, (loss, level) in enumerate([("l1", 0.0), ("mse", -0.5), (EVIL, -0.2)]):
        for seed in (1, 2):
            folder = write_run(
                root / f"{place}-{seed}",
                {
                    "loss": loss,
                    "optimizer.learning_rate": [1e-3, 1e-4][seed - 1] if loss == EVIL else 1e-3,
                    "seed": seed,
                },
                images=scores(NAMES, level, 10 * place + seed),
                curves=curve_table(4000, game=place == 2),
            )
            for number, name in enumerate(NAMES[:2]):
                size = [(512, 512), (448, 300)][number]
                picture(folder / "images" / "sample" / f"{name}.png", place * 2 + seed, size)
    write_run(root / "bad", {"loss": "tv"}, results={"status": "failed", "error": f"UserError: {EVIL}"})
    write_run(root / "x2", {"loss": "l1", "scale": 2}, images=scores(NAMES, 4))
    assert main([str(root), "--title", EVIL]) == 0
    return root / "report.html"


def names_in(tab):
    cells = tab.locator("#leaderboard .tabulator-tableholder .tabulator-cell.name")
    return [text.strip() for text in cells.all_inner_texts()]


def chart(tab, place):
    """What Plotly draws at a place."""
    return tab.evaluate(f"JSON.parse(JSON.stringify(document.querySelector('{place}').data))")


def test_the_ranking_sorts_and_filters(page):
    with opened(page) as (tab, errors):
        assert names_in(tab)[0] == L1
        frozen = tab.locator("#leaderboard .tabulator-frozen-rows-holder").inner_text()
        assert "bicubic" in frozen
        assert "29.16" in frozen
        assert "HR" in frozen
        # By LPIPS, where less is better, the order turns around.
        tab.click(".tabulator-col[tabulator-field=m_lpips] .tabulator-col-content")
        assert names_in(tab)[0] == MSE
        header = tab.locator(".tabulator-col[tabulator-field=c_0] input")
        header.press_sequentially("l1")
        tab.wait_for_function("document.getElementById('count').textContent.startsWith('1 of')")
        assert names_in(tab) == [L1]
        header.press("Backspace")
        header.press("Backspace")
        tab.wait_for_function("document.getElementById('count').textContent === '5 rows'")
        tab.fill("#find", "mse")
        tab.wait_for_function("document.getElementById('count').textContent.startsWith('1 of')")
        assert names_in(tab) == [MSE]
        tab.fill("#find", "")
        tab.click("button.link:has-text('loss=mse')")
        dialog = tab.locator("#detail")
        assert "sr-train loss=mse optimizer.learning_rate=0.001 seed=1" in dialog.inner_text()
        tab.click("#detail form button")
        assert tab.locator("#chosen").inner_text() == ""  # a look at a row does not tick it
        tab.locator("#leaderboard .tabulator-tableholder input[type=checkbox]").first.check()
        assert tab.locator("#chosen").inner_text() == "1 row ticked"
        # The run of another scale has a ranking of its own.
        assert "differ in scale or protocol" in tab.locator("#notes summary").inner_text()
        tab.select_option("#group", label="x2, y, border 4, gray keep, rounded to 8bit")
        assert len(names_in(tab)) == 1
        assert errors == []


def test_names_stay_texts(page):
    with opened(page) as (tab, errors):
        for name in ("tradeoff", "sweep", "curves", "images", "differences", "configs", "failures", "ranking"):
            tab.click(f"#tab-{name}")
            tab.wait_for_timeout(200)
        tab.locator("#leaderboard button.link", has_text="<script>").first.click()
        assert tab.locator("#title").inner_text() == EVIL
        assert EVIL in tab.locator("#detail").inner_text()
        assert tab.evaluate("window.evil") is None
        assert errors == []


def test_charts(page):
    with opened(page) as (tab, errors):
        tab.click("#tab-tradeoff")
        traces = {trace["name"]: trace for trace in chart(tab, "#plane")}
        assert tab.locator("#plane-y").input_value() == "lpips"
        assert len(traces["Pareto front"]["x"]) >= 2
        tab.locator("#plane .points path").first.click(force=True)
        tab.wait_for_selector("#detail[open]")
        tab.click("#detail form button")
        tab.click("#tab-sweep")
        (heat,) = chart(tab, "#heat")
        assert (len(heat["x"]), len(heat["y"])) == (3, 2)
        tab.select_option("#sweep-metric", "lpips")
        assert chart(tab, "#heat")[0]["reversescale"] is True
        assert tab.locator("#factors .chart").count() == 2
        tab.click("#tab-curves")
        tab.select_option("#curve", "train/loss")
        rough = chart(tab, "#curve-panels .chart")[0]["y"]
        tab.fill("#smoothing", "0.9")
        assert chart(tab, "#curve-panels .chart")[0]["y"] != rough
        headings = tab.locator("#curve-panels h2").all_inner_texts()
        assert any("real and fake" in text for text in headings)
        assert any("Gradient norms" in text for text in headings)
        assert errors == []


def pixels(locator):
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB")).astype(int)


def test_images_move_together_and_the_slider_cuts(page):
    with opened(page) as (tab, errors):
        tab.click("#tab-images")
        tab.select_option("#image", "astronaut")
        assert tab.locator("#viewers .viewer").count() == 4
        assert "PSNR" in tab.locator("#viewers figcaption").first.inner_text()
        bounds = (
            "Review.viewers.map(v => { const b = v.viewport.getBounds(true); return [b.x, b.y, b.width, b.height] })"
        )
        tab.wait_for_function(LOADED)
        before = tab.evaluate(bounds)
        viewer = tab.locator("#viewers .viewer").first
        viewer.hover()
        for _ in range(4):
            tab.mouse.wheel(0, -300)
            tab.wait_for_timeout(150)
        tab.wait_for_timeout(500)
        box = viewer.bounding_box()
        tab.mouse.move(box["x"] + 200, box["y"] + 200)
        tab.mouse.down()
        tab.mouse.move(box["x"] + 120, box["y"] + 160, steps=5)
        tab.mouse.up()
        tab.wait_for_timeout(600)
        after = tab.evaluate(bounds)
        assert after[0][2] < before[0][2] / 2  # magnified
        np.testing.assert_allclose(after, [after[0]] * 4, atol=1e-6)

        # A crop where the runs disagree: the square of noise.
        tab.locator("button.crop").first.click()
        tab.wait_for_timeout(300)
        x, y, width, _ = (value * 512 for value in tab.evaluate(bounds)[0])
        assert x < 48 < 64 < x + width
        assert y < 32

        # The slider: the left picture on the left of it, the right one on the right.
        options = tab.locator("#slot0 option").all_inner_texts()
        hr = next(text for text in options if text.startswith("HR"))
        tab.select_option("#slot1", label=hr)
        tab.select_option("#view", "slider")
        tab.wait_for_function(LOADED.replace("getItemAt(0)", "getItemAt(1)"))
        tab.wait_for_timeout(300)
        shots = {}
        for value in (0, 500, 1000):
            tab.locator("#divider").fill(str(value))
            tab.wait_for_timeout(300)
            shots[value] = pixels(tab.locator("#viewers .viewer"))
        middle = shots[0].shape[1] // 2
        left, right = np.s_[20:-20, 20 : middle - 10], np.s_[20:-20, middle + 10 : -20]
        assert np.abs(shots[0] - shots[1000])[right].mean() > 5  # two different pictures
        assert np.abs(shots[500] - shots[1000])[left].mean() < 0.1
        assert np.abs(shots[500] - shots[0])[right].mean() < 0.1
        handle = tab.locator("#divider").bounding_box()
        tab.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
        tab.mouse.down()
        tab.mouse.move(handle["x"] + handle["width"] / 4, handle["y"] + handle["height"] / 2, steps=4)
        tab.mouse.up()
        assert abs(int(tab.locator("#divider").input_value()) - 1000) > 100
        assert errors == []


def test_error_maps_are_differences(page):
    with opened(page) as (tab, errors):
        tab.click("#tab-images")
        tab.select_option("#slot0", label="HR (the original)")
        tab.select_option("#slot1", label="bicubic")
        for slot in (2, 3):
            tab.select_option(f"#slot{slot}", "")
        tab.select_option("#view", "error")
        tab.fill("#gain", "1")
        tab.wait_for_function("Review.viewers.length === 1 && Review.viewers[0].world.getItemCount() === 2")
        tab.wait_for_function("Review.viewers[0].world.getItemAt(1).getFullyLoaded()")
        # At one screen pixel an image pixel, in its middle.
        tab.evaluate(
            "(([v]) => v.viewport.zoomTo(v.world.getItemAt(0).imageToViewportZoom(1), null, true))(Review.viewers)"
        )
        tab.wait_for_timeout(400)
        folder = page.parent / "report_files" / "0"
        hr, bicubic = (
            np.asarray(Image.open(folder / kind / "sample" / "astronaut.png")).astype(int) for kind in ("HR", "bicubic")
        )
        error = np.abs(hr - bicubic).mean()
        middle = np.s_[150:-150, 600:-600]
        shot = pixels(tab.locator("#viewers .viewer"))[middle]
        assert 0.3 * error < shot.mean() < 3 * error
        tab.fill("#gain", "8")
        tab.wait_for_timeout(300)
        assert pixels(tab.locator("#viewers .viewer"))[middle].mean() > 3 * shot.mean()
        assert errors == []


def test_differences_have_the_interval_of_the_python_side(page):
    with opened(page) as (tab, errors):
        tab.click("#tab-differences")
        tab.select_option("#first", label=L1)
        tab.select_option("#second", label=MSE)
        data = json.loads(tab.evaluate("JSON.stringify(Review.data.rows)"))
        values = [
            [row["sets"]["sample"]["images"][name]["psnr"] for name in NAMES]
            for wanted in (MSE, L1)
            for row in data
            if row["name"] == wanted and row["group"] == 0
        ]
        expected = paired_differences(np.array(values), 0)[1]
        found = tab.evaluate(f"Review.bootstrap({(np.array(values[1]) - np.array(values[0])).tolist()})")
        assert found["mean"] == pytest.approx(expected.mean)
        assert found["low"] == pytest.approx(expected.low, abs=0.005)
        assert found["high"] == pytest.approx(expected.high, abs=0.005)
        assert "A is better" in tab.locator("#verdict").inner_text()
        tab.click("#tab-configs")
        assert "loss.option" in tab.locator("#config-table").inner_text()
        tab.click("#tab-failures")
        assert "UserError" in tab.locator("#failed").inner_text()
        assert errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(page, scheme, tmp_path):
    size = {"width": 390, "height": 844}
    with opened(page, viewport=size, color_scheme=scheme) as (tab, errors):
        for name in ("ranking", "tradeoff", "sweep", "curves", "images", "differences", "configs", "failures"):
            tab.click(f"#tab-{name}")
            tab.wait_for_timeout(250)
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390, name
            tab.screenshot(path=tmp_path / f"{name}.png")
        brightness = np.asarray(Image.open(tmp_path / "failures.png").convert("L")).mean()
        assert brightness < 90 if scheme == "dark" else brightness > 170
        assert errors == []


@pytest.mark.slow
def test_embedded_images_are_shown(page, tmp_path):
    one = tmp_path / "one.html"
    assert main([str(page.parent), "-o", str(one), "--embed"]) == 0
    with opened(one) as (tab, errors):
        tab.click("#tab-images")
        tab.wait_for_function(f"Review.viewers.length === 4 && {LOADED}")
        assert errors == []


@pytest.mark.slow
def test_two_hundred_runs_open_quickly(tmp_path):
    root = write_sweep(tmp_path / "sweep", 200, 14)
    main([str(root)])
    with opened(root / "report.html") as (tab, errors):
        ready = "performance.getEntriesByType('navigation')[0].loadEventEnd"
        times = []
        for _ in range(3):
            tab.reload()
            times.append(tab.evaluate(ready))
        assert min(times) < 3000, times
        assert len(names_in(tab)) > 10
        tab.click("#tab-curves")
        assert len(chart(tab, "#curve-panels .chart")) == 200
        assert errors == []
