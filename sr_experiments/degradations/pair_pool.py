"""The pool of training pairs that Real-ESRGAN mixes its batches in (Wang et al., 2021, arXiv 2107.10833)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sr_experiments.errors import UserError
from sr_experiments.pixels.draws import scrambled
from sr_experiments.pixels.eightbit import round_to_8bit

PARTS = ("hr", "lr", "key", "filled")


class PairPool(nn.Module):
    """Mixes the pairs of many batches: new pairs replace random pairs of the pool, which are returned instead.

    Until the pool is full, pairs are stored and returned unchanged. Which pairs are returned depends on the keys of the
    new ones. A pair keeps its key, so that its random draws are known when it is returned.

    Every process has a pool of its own. It is no part of `state_dict`, which holds what all processes have in common:
    `contents` and `refill` carry it over to a resumed run, which goes on with the same pairs.

    Args:
        size: pairs in the pool.
        crop_size: height and width of HR.
        scale: how many times smaller LR is.
        channels: of both.

    Raises:
        UserError: `size` is not at least 1, or `crop_size` is no multiple of the scale.
    """

    def __init__(self, size: int, crop_size: int, scale: int, channels: int = 3) -> None:
        super().__init__()
        if size < 1:
            raise UserError(f"A pool of {size} pairs mixes nothing: give at least as many as a batch has.")
        if crop_size % scale:
            raise UserError(f"A pool of crops of {crop_size} pixels needs a multiple of scale={scale}.")
        small = crop_size // scale
        # No buffers: DDP would give every process those of the first.
        self.hr = torch.zeros(size, channels, crop_size, crop_size, dtype=torch.uint8)
        self.lr = torch.zeros(size, channels, small, small, dtype=torch.uint8)
        self.key = torch.zeros(size, dtype=torch.int64)
        self.filled = torch.zeros((), dtype=torch.int64)

    def forward(self, hr: Tensor, lr: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Exchange a batch of pairs for pairs of the pool.

        Args:
            hr: (B, C, crop_size, crop_size) in [0, 1] on 8-bit levels.
            lr: (B, C, crop_size / scale, crop_size / scale), likewise.
            key: (B,) int64.

        Returns:
            HR, LR and keys of as many pairs, images on the same levels.

        Raises:
            UserError: the batch is larger than the pool.
        """
        size, batch = len(self.hr), len(hr)
        if batch > size:
            raise UserError(f"A pool of {size} pairs cannot mix a batch of {batch}: make it larger.")
        self._move(hr.device)
        filled = int(self.filled)
        if filled < size:
            # The last batch that finds room may overwrite the first pairs.
            places = torch.arange(filled, filled + batch, device=hr.device) % size
            self.filled.fill_(min(filled + batch, size))
            self._put(places, hr, lr, key)
            return hr, lr, key
        order = scrambled(scrambled(key.to(hr.device))[:1] + torch.arange(size, device=hr.device)).argsort()
        places = order[:batch]
        mixed = self.hr[places].to(hr.dtype) / 255, self.lr[places].to(lr.dtype) / 255, self.key[places].to(key.device)
        self._put(places, hr, lr, key)
        return mixed

    def contents(self) -> dict[str, Tensor]:
        """The stored pairs, for a checkpoint."""
        return {name: getattr(self, name) for name in PARTS}

    def refill(self, contents: dict[str, Tensor]) -> None:
        """Restore the `contents` of a checkpoint.

        Raises:
            UserError: that had another size.
        """
        for name in PARTS:
            mine, theirs = getattr(self, name), contents[name]
            if mine.shape != theirs.shape:
                raise UserError(
                    f"The checkpoint's pool of pairs has {name} of the shape {tuple(theirs.shape)} and this run's "
                    f"{tuple(mine.shape)}: go on with the same training.stages.pool.pairs and data.crop_size."
                )
            setattr(self, name, theirs.clone())

    def _move(self, device: torch.device) -> None:
        if self.hr.device != device:
            self.hr, self.lr, self.key = (part.to(device) for part in (self.hr, self.lr, self.key))

    def _put(self, places: Tensor, hr: Tensor, lr: Tensor, key: Tensor) -> None:
        for pool, images in ((self.hr, hr), (self.lr, lr)):
            pool[places] = round_to_8bit(images.detach() * 255).to(torch.uint8)
        self.key[places] = key.to(places.device)

    def extra_repr(self) -> str:
        """Show the sizes in `print(module)`."""
        return f"size={len(self.hr)}, hr={tuple(self.hr.shape[1:])}, lr={tuple(self.lr.shape[1:])}"
