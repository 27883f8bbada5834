"""Run folders as the commands leave them, written in milliseconds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

PROTOCOL = {"channel": "y", "border": 4, "gray": "keep", "rounding": "8bit"}
CONFIG: dict[str, Any] = {
    "scale": 4,
    "seed": 1,
    "resume": None,
    "model": {"_target_": "sr_experiments.models.small.Small", "scale": "${scale}", "features": 32},
    "loss": {"terms": {"l1": {"weight": 1.0}}},
    "degradation": {"_target_": "sr_experiments.degradations.Bicubic", "scale": "${scale}"},
    "data": {"root": None, "sets": [{"sample": {"_target_": "sr_experiments.data.test_photographs"}}]},
    "metrics": {"channel": "y", "border": "${scale}", "gray": "keep"},
    "optimizer": {"learning_rate": 0.001},
    "paths": {"output_root": "outputs"},
}


def write_run(
    folder: Path,
    overrides: dict[str, Any],
    *,
    images: dict[str, dict[str, float]] | None = None,
    of: str = "sample",
    config: dict[str, Any] | None = None,
    results: dict[str, Any] | None = None,
    curves: str | None = None,
) -> Path:
    """A run of `overrides`; tested on the set `of` if `images` (name -> metric -> value) are given."""
    hydra = folder / ".hydra"
    hydra.mkdir(parents=True)
    composed = json.loads(json.dumps({**CONFIG, **(config or {})}))
    for key, value in overrides.items():
        node = composed
        *path, last = key.split(".")
        for part in path:
            node = node.setdefault(part, {})
        if isinstance(node.get(last), dict):  # an option of a group
            node[last]["option"] = value
        else:
            node[last] = value
    (hydra / "config.yaml").write_text(yaml.safe_dump(composed))
    (hydra / "overrides.yaml").write_text(yaml.safe_dump([f"{key}={value}" for key, value in overrides.items()]))
    if images is not None:
        metrics = [name for name in next(iter(images.values())) if not name.startswith("bicubic_")]
        mean = {name: float(np.mean([row[name] for row in images.values()])) for name in metrics}
        results = {
            "status": "finished",
            "overrides": [f"{key}={value}" for key, value in overrides.items()],
            "scale": composed["scale"],
            "protocol": PROTOCOL,
            "parameters": 2332,
            "steps": 4000,
            "seconds": 100.0,
            "test": {of: {**mean, "bicubic": {"psnr": 29.158, "ssim": 0.8246}, "images": images}},
            **(results or {}),
        }
    if results is not None:
        (folder / "results.json").write_text(json.dumps(results))
    if curves is not None:
        (folder / "metrics.csv").write_text(curves)
    return folder


def scores(names: list[str], level: float, seed: int = 0) -> dict[str, dict[str, float]]:
    """Scores of images around a level: better PSNR at the price of LPIPS."""
    random = np.random.default_rng(seed)
    return {
        name: {
            "psnr": 28 + 3 * np.sin(place) + level + random.normal(0, 0.02),
            "ssim": 0.8 + level / 50 + random.normal(0, 0.001),
            "lpips": 0.3 + level / 10 + random.normal(0, 0.001),
            "bicubic_psnr": 27 + 3 * np.sin(place),
            "bicubic_ssim": 0.78,
        }
        for place, name in enumerate(names)
    }


def picture(path: Path, seed: int, size: tuple[int, int] = (96, 64)) -> Path:
    """A smooth picture with one noisy square, whose noise depends on the seed."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([(x * 3) % 256, (y * 3) % 256, (x + y) % 256], axis=-1).astype(np.uint8)
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    pixels[32:48, 48:64] = noise
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def curve_table(steps: int, every: int = 20, game: bool = False) -> str:
    """A metrics.csv of so many steps."""
    names = [
        "train/loss",
        "val/psnr",
        "val/sample/psnr",
        *(["train/d_real", "train/d_fake", "train/gradient_norm"] * game),
    ]
    lines = [",".join(["step", *names])]
    for step in range(every, steps + 1, every):
        psnr = f"{25 + step / 1000:.4f}" if step % (5 * every) == 0 else ""
        lines.append(",".join([str(step), f"{1 / step:.6f}", psnr, psnr, *(["0.5", "-0.5", "1.0"] * game)]))
    return "\n".join(lines) + "\n"


def write_sweep(root: Path, n_runs: int, n_images: int, size: tuple[int, int] = (96, 64)) -> Path:
    """A sweep of two loss weights and four seeds; images of one name are links to a few files."""
    names = [f"photo{place:02d}" for place in range(n_images)]
    kinds = [
        {name: picture(root / ".kinds" / f"{kind}" / f"{name}.png", kind, size) for name in names} for kind in range(5)
    ]
    for place in range(n_runs):
        seed, step = place % 4 + 1, place // 4
        perceptual, texture = (
            [0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0][step % 7],
            [0.0, 1e-6, 1e-5, 1e-4, 1e-3][step // 7 % 5],
        )
        level = -perceptual / 2 - texture * 300 + (step // 35) * 0.1
        folder = write_run(
            root / f"job{place:03d}",
            {
                "loss.terms.perceptual.weight": perceptual,
                "loss.terms.texture.weight": texture,
                "model": ["small", "edsr"][step // 35],
                "seed": seed,
            },
            images=scores(names, level, seed),
            curves=curve_table(10000, game=True),
        )
        for name, file in kinds[place % 5].items():
            (folder / "images" / "sample").mkdir(parents=True, exist_ok=True)
            os.link(file, folder / "images" / "sample" / f"{name}.png")
    return root
