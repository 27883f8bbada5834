"""Which way is better, for every score that this project knows by name."""

from __future__ import annotations

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


def higher_is_better(name: str) -> bool | None:
    """Whether more of a score is better; None for a score that is not known.

    Args:
        name: of a score, also as it is logged: `val/Set5/psnr`, `test/Set5/bicubic_psnr`.
    """
    return HIGHER_IS_BETTER.get(name.rpartition("/")[2].removeprefix("bicubic_"))
