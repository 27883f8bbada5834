"""Which way is better, for every score that this project knows by name."""

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
    """Whether more of a score is better; None for a score that is not known.

    Args:
        name: of a score, also as it is logged: `val/Set5/psnr`, `test/Set5/bicubic_psnr`.
        own: what scores that are not of this project say of themselves, by name.
    """
    plain = name.rpartition("/")[2].removeprefix("bicubic_")
    return HIGHER_IS_BETTER.get(plain, (own or {}).get(plain))


def own_directions(results: Mapping[str, Any]) -> dict[str, bool]:
    """What the scores of a run say of themselves in its results, under `higher_is_better`."""
    said = results.get("higher_is_better")
    return (
        {str(name): value for name, value in said.items() if isinstance(value, bool)} if isinstance(said, dict) else {}
    )
