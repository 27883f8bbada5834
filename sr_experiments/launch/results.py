"""results.json: what a run ends with, and the table that a person sees."""

from __future__ import annotations

import json
import math
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only
from rich.console import Console
from rich.table import Table

from sr_experiments.errors import Preempted

LIBRARIES = (
    "sr-experiments",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "hydra-core",
    "torchmetrics",
    "numpy",
    "pillow",
)


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def write_results(folder: str | Path, results: dict[str, Any]) -> Path:
    """Write `results.json` in one go: a reader finds the whole file or none.

    Infinite and missing scores become null: JSON knows neither.
    """
    return write_json(Path(folder) / "results.json", results)


def write_json(path: Path, content: dict[str, Any]) -> Path:
    """Write a JSON file in one go: a reader finds the whole file, the old one, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")
    partial.replace(path)
    return path


def clear_results(folder: Path) -> None:
    """Take away what an earlier attempt ended with: a run at work has no results yet."""
    if is_first_process():
        (folder / "results.json").unlink(missing_ok=True)


def write_failure(folder: Path, error: BaseException, facts: dict[str, Any] | None = None) -> None:
    """Write how a run ended that did not finish, keeping what another of its processes has written of it.

    Args:
        folder: the run folder.
        error: what ended it: Ctrl-C and `Preempted` interrupt a run, anything else is a failure.
        facts: what else is known about it.
    """
    if not is_first_process():
        return
    status = "interrupted" if isinstance(error, KeyboardInterrupt | Preempted) else "failed"
    try:
        known = json.loads((folder / "results.json").read_text())
    except (OSError, ValueError):
        known = {}
    told = {"status": status, "error": f"{type(error).__name__}: {error}"}
    write_results(folder, {**known, **told, **(facts or {})})


def is_first_process() -> bool:
    """Whether this process is the one, among those of a run, that writes its files."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_table(test: dict[str, Any], protocol: dict[str, Any]) -> None:
    """Print a table a set: every image, bicubic against the network, and the means."""
    console = Console()
    for name, of in test.items():
        table = Table(
            title=f"{name} (protocol {protocol['channel']}, border {protocol['border']})", title_justify="left"
        )
        table.add_column("image", overflow="fold")
        for column in ("bicubic PSNR", "network PSNR", "gain", "bicubic SSIM", "network SSIM"):
            table.add_column(column, justify="right")
        for image, row in of["images"].items():
            table.add_row(image, *_cells(row["bicubic_psnr"], row["psnr"], row["bicubic_ssim"], row["ssim"]))
        table.add_section()
        bicubic = of["bicubic"]
        table.add_row("mean", *_cells(bicubic["psnr"], of["psnr"], bicubic["ssim"], of["ssim"]), style="bold")
        console.print(table)


def _cells(bicubic_psnr: float, psnr: float, bicubic_ssim: float, ssim: float) -> list[str]:
    gain = psnr - bicubic_psnr
    return [f"{bicubic_psnr:.2f}", f"{psnr:.2f}", f"{gain:+.2f}", f"{bicubic_ssim:.4f}", f"{ssim:.4f}"]
