"""Losses on intermediate images of a network: recursive supervision, and supervision of a pyramid."""

from __future__ import annotations

from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.pixels.imresize import imresize


class RecursiveSupervision(nn.Module):
    """share * (mean of a term over the intermediate images) + (1 - share) * the term of the last image.

    This is the loss of DRCN (Kim et al., CVPR 2016, section 3.2, where the share is called alpha and decays) and that
    of MemNet (Tai et al., ICCV 2017, section 3.2). The share is a function of the generator update alone, so that a
    resumed run gets the same.

    Args:
        term: a term of `sr` and `hr`.
        share: weight of the intermediate images, from 0 to 1; None: all images have the same weight, the last one too.
        last_share: the share after `steps`, reached linearly; None: it stays.
        steps: generator updates until `last_share` is reached.

    Raises:
        UserError: a share is not a fraction, or it should move without a number of steps.
    """

    def __init__(
        self, term: nn.Module, share: float | None = None, last_share: float | None = None, steps: int | None = None
    ) -> None:
        super().__init__()
        for name, value in (("share", share), ("last_share", last_share)):
            if value is not None and not 0 <= value <= 1:
                raise UserError(f"The {name} of the intermediate images must be from 0 to 1, not {value}.")
        if last_share is not None and (share is None or steps is None or steps < 1):
            raise UserError(
                f"A share of the intermediate images that moves to last_share={last_share} needs a share to begin with "
                f"and steps of at least 1, not share={share} and steps={steps}: set them, or trainer.max_steps."
            )
        self.term = term
        self.share, self.last_share, self.steps = share, last_share, steps

    def share_at(self, step: int, images: int) -> float:
        """The weight of the intermediate images after `step` updates, for a network with `images` images in all."""
        if self.share is None:
            return (images - 1) / images
        if self.last_share is None or self.steps is None:
            return self.share
        return self.share + (self.last_share - self.share) * min(step / self.steps, 1.0)

    def forward(self, outputs: list[Tensor], hr: Tensor, step: int) -> Tensor:
        """Images (B, C, H, W), the network's own the last, HR of their size, and the updates made -> a scalar."""
        *on_the_way, last = outputs
        share = self.share_at(step, len(outputs))
        loss = (1 - share) * self.term(sr=last, hr=hr)
        for image in on_the_way:
            loss = loss + share / len(on_the_way) * self.term(sr=image, hr=hr)
        return loss


class PyramidSupervision(nn.Module):
    """Sum over the levels of a pyramid of a term against HR shrunk to each level (LapSRN: Lai et al., section 3.3).

    HR is shrunk by MATLAB's bicubic interpolation, without rounding.

    Args:
        term: a term of `sr` and `hr`.
    """

    def __init__(self, term: nn.Module) -> None:
        super().__init__()
        self.term = term

    def forward(self, outputs: list[Tensor], hr: Tensor) -> Tensor:
        """Images (B, C, h, w) of any sizes that are parts of HR's, and HR (B, C, H, W) -> a scalar."""
        loss = hr.new_zeros(())
        for image in outputs:
            size = (image.shape[-2], image.shape[-1])
            loss = loss + self.term(sr=image, hr=hr if size == hr.shape[-2:] else imresize(hr, size=size))
        return loss
