"""Whether higher or lower is better, for every score of this project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HIGHER_IS_BETTER = {
    "psnr": True,
    "ssim": True,
    "ms_ssim": True,
    "vif": True,
    "lr_psnr": True,
    "lpips": False,
    "lpips_vgg": False,
    "lpips_squeeze": False,
    "dists": False,
    "vgg19_distance": False,
    "niqe": False,
    "fid": False,
    "kid": False,
    "top1": True,
    "top5": True,
    "similarity": True,
}


def higher_is_better(name: str, own: Mapping[str, bool] | None = None) -> bool | None:
    """Whether a higher score is better; None for an unknown score.

    Args:
        name: of a score, also as it is logged: `val/Set5/psnr`, `test/Set5/bicubic_psnr`.
        own: name -> whether higher is better, for scores from outside this project.
    """
    plain = name.rpartition("/")[2].removeprefix("bicubic_")
    return HIGHER_IS_BETTER.get(plain, (own or {}).get(plain))


def own_directions(results: Mapping[str, Any]) -> dict[str, bool]:
    """The directions that the results of a run hold under `higher_is_better`."""
    said = results.get("higher_is_better")
    return (
        {str(name): value for name, value in said.items() if isinstance(value, bool)} if isinstance(said, dict) else {}
    )
