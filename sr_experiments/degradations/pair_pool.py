"""The pool of training pairs that Real-ESRGAN mixes its batches in (Wang et al., 2021, arXiv 2107.10833)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.degradations.draws import scrambled
from sr_experiments.degradations.eightbit import round_to_8bit
from sr_experiments.errors import UserError


class PairPool(nn.Module):
    """Mixes the pairs of many batches: what comes in takes the place of random pairs of the pool, which go out.

    Until the pool is full, pairs go in and come out unchanged. The pool is made of buffers, so that it is a part of
    checkpoints and a resumed run goes on with the same pairs. Which pairs go out depends on the keys that come in.

    Args:
        size: pairs in the pool.
        crop_size: height and width of HR.
        scale: how many times smaller LR is.
        channels: of both.

    Raises:
        UserError: `size` is not at least 1, or `crop_size` is no multiple of the scale.
    """

    hr: Tensor
    lr: Tensor
    filled: Tensor

    def __init__(self, size: int, crop_size: int, scale: int, channels: int = 3) -> None:
        super().__init__()
        if size < 1:
            raise UserError(f"A pool of {size} pairs mixes nothing: give at least as many as a batch has.")
        if crop_size % scale:
            raise UserError(f"A pool of crops of {crop_size} pixels needs a multiple of scale={scale}.")
        small = crop_size // scale
        self.register_buffer("hr", torch.zeros(size, channels, crop_size, crop_size, dtype=torch.uint8))
        self.register_buffer("lr", torch.zeros(size, channels, small, small, dtype=torch.uint8))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def forward(self, hr: Tensor, lr: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Exchange a batch of pairs for pairs of the pool.

        Args:
            hr: (B, C, crop_size, crop_size) in [0, 1] on 8-bit levels.
            lr: (B, C, crop_size / scale, crop_size / scale), likewise.
            key: (B,) int64.

        Returns:
            HR and LR of as many pairs, on the same levels.

        Raises:
            UserError: the batch is larger than the pool.
        """
        size, batch = len(self.hr), len(hr)
        if batch > size:
            raise UserError(f"A pool of {size} pairs cannot mix a batch of {batch}: make it larger.")
        filled = int(self.filled)
        if filled < size:
            # The last batch that finds room may overwrite the first pairs.
            places = torch.arange(filled, filled + batch, device=hr.device) % size
            self.filled.fill_(min(filled + batch, size))
            self._put(places, hr, lr)
            return hr, lr
        order = scrambled(scrambled(key.to(hr.device))[:1] + torch.arange(size, device=hr.device)).argsort()
        places = order[:batch]
        mixed = self.hr[places].to(hr.dtype) / 255, self.lr[places].to(lr.dtype) / 255
        self._put(places, hr, lr)
        return mixed

    def _put(self, places: Tensor, hr: Tensor, lr: Tensor) -> None:
        for pool, images in ((self.hr, hr), (self.lr, lr)):
            pool[places] = round_to_8bit(images.detach() * 255).to(torch.uint8)

    def extra_repr(self) -> str:
        """Show the sizes in `print(module)`."""
        return f"size={len(self.hr)}, hr={tuple(self.hr.shape[1:])}, lr={tuple(self.lr.shape[1:])}"
