"""NIQE: how far the statistics of an image are from those of natural photographs; it needs no original."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.metrics.luma import full_range_luma
from sr_experiments.models.weights import read_checkpoint
from sr_experiments.pixels.eightbit import round_to_8bit, working_dtype

# Names of the mean and the covariance in the files of deepinv, of the authors, and of BasicSR.
NAMES = (("mu", "cov"), ("mu_prisparam", "cov_prisparam"), ("mu_pris_param", "cov_pris_param"))

# Two scales of 18 numbers.
NUMBERS = 36


class NIQE(nn.Module):
    """Natural image quality evaluator (Mittal et al., IEEE SPL 20(3), 2013) as the library deepinv computes it.

    Measured on the gray image in whole numbers, as in the authors' code, without its border, as in the PIRM challenge.

    Args:
        weights: the model of natural photographs: `released` (deepinv's copy of the authors', downloaded once), or a
            file: deepinv's (.pt), the authors' (.mat) or BasicSR's (.npz).
        border: pixels cut from every side before scoring.
        setting: the config key of this part, for messages.

    Raises:
        UserError: by `load`: deepinv or the model cannot be had; by `forward`: the image is too small.
    """

    higher_is_better = False
    patch = 96

    def __init__(self, weights: str | Path = "released", border: int = 0, setting: str = "scores.parts.niqe") -> None:
        super().__init__()
        if border < 0:
            raise UserError(f"{setting}.border={border} must not be negative.")
        self.weights = str(weights)
        self.border = border
        self.setting = setting
        self.model: Any = None

    def load(self) -> None:
        """Read the model of natural photographs, if that has not happened yet.

        Raises:
            UserError: it cannot be had.
        """
        if self.model is not None:
            return
        try:
            library = import_module("deepinv.loss.metric")
        except ImportError as error:
            raise UserError("NIQE needs deepinv: pip install 'sr-experiments[scores]'.") from error
        if self.weights != "released":
            model = library.NIQE(weights_path=None, round_tensor=True, dtype=torch.float64)
            model.mu_p, model.cov_p = read_model(Path(self.weights).expanduser(), f"{self.setting}.weights")
        else:
            try:
                model = library.NIQE(round_tensor=True, dtype=torch.float64)
            except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
                reason = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
                raise UserError(
                    f"NIQE's model of natural photographs is not at hand ({reason}). Give {self.setting}.weights=FILE "
                    "with deepinv's niqe_weights.pt or the authors' modelparameters.mat."
                ) from error
        self.model = model

    def forward(self, sr: Tensor) -> Tensor:
        """Score one image, (1, 3, H, W) in [0, 1].

        Returns:
            A tensor without dimensions, at least 0; photographs have about 2 to 5, worse ones more.

        Raises:
            UserError: fewer than two patches of 96 pixels are left after the border is cut.
        """
        self.load()
        # deepinv stays where its kernels were made; the CPU has the authors' float64 everywhere.
        gray = full_range_luma(round_to_8bit(sr.cpu().to(working_dtype(torch.device("cpu"))) * 255))
        height, width = gray.shape[-2:]
        gray = gray[..., self.border : height - self.border, self.border : width - self.border]
        rows, columns = (side // self.patch for side in gray.shape[-2:])
        if rows * columns < 2:
            raise UserError(f"NIQE needs two patches of {self.patch} pixels; {width}x{height} pixels hold fewer.")
        return self.model.metric(gray)[0]


def read_model(file: Path, setting: str) -> tuple[Tensor, Tensor]:
    """Read mean and covariance of natural photographs' features, (36,) and (36, 36) in float64.

    Raises:
        UserError: the file does not exist or holds something else; `setting` is its config key.
    """
    if not file.is_file():
        raise UserError(f"{setting}={file} is not there: it takes released, niqe_weights.pt or modelparameters.mat.")
    content: Mapping[str, Any]
    if file.suffix.lower() == ".mat":
        from scipy.io import loadmat

        try:
            content = loadmat(file)
        except Exception as error:  # readers raise exceptions of every kind on damaged files
            raise UserError(f"{setting}={file} is no MATLAB file that can be read: {error}") from error
    else:
        content = read_checkpoint(file)
    for mean_name, covariance_name in NAMES:
        if mean_name in content and covariance_name in content:
            mean, covariance = (
                torch.as_tensor(content[name], dtype=torch.float64) for name in (mean_name, covariance_name)
            )
            if mean.numel() == NUMBERS and covariance.shape == (NUMBERS, NUMBERS):
                return mean.flatten(), covariance
    raise UserError(f"{setting}={file} holds no model of NIQE: a mean of {NUMBERS} numbers and their covariance.")
