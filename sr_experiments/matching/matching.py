"""Feature swapping: for a low-resolution image, feature maps made of the textures of reference images."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_experiments.degradations import bicubic_upsample
from sr_experiments.errors import UserError
from sr_experiments.losses import FeatureNetwork
from sr_experiments.matching.cache import MatchCache, digest, network_digest
from sr_experiments.matching.correspondence import CHUNK, PATCH, Correspondence, correspond
from sr_experiments.matching.features import CELL, LAYERS, MATCHING_LAYER, extract
from sr_experiments.matching.references import References
from sr_experiments.matching.swapping import swap
from sr_experiments.matching.variants import variants
from sr_experiments.pixels.options import check_choice

log = logging.getLogger(__name__)

SelfReference = Literal["shared", "per_layer"]

_ALL = slice(None)


@dataclass(frozen=True)
class Match:
    """What an image's references have for it: the textures are put together when asked for, also for a part only.

    Attributes:
        similarity: (1, 1, h4, w4) float32, the cosine of each cell's patch with the one that was found for it; the
            outermost cells, at the centre of no patch, have their neighbours' values.
        correspondences: matched layer -> which patches go where.
        references: what the patches are taken from.
    """

    similarity: Tensor
    correspondences: dict[str, Correspondence]
    references: References

    def maps(self, rows: slice | None = None, columns: slice | None = None) -> dict[str, Tensor]:
        """Put the feature maps together.

        Args:
            rows: the wanted rows of the (h4, w4) cells; all by default.
            columns: likewise.

        Returns:
            relu3_1 (1, 256, n, m), relu2_1 (1, 128, 2n, 2m), relu1_1 (1, 64, 4n, 4m) for n x m cells, channels last
            in memory. A window is equal to that part of the whole.
        """
        cells = tuple(self.similarity.shape[-2:])
        window = [(part or _ALL).indices(count)[:2] for part, count in zip((rows, columns), cells, strict=True)]
        maps = {}
        for layer, ratio in LAYERS.items():
            grid = self.references.grid(layer)
            correspondence = self.correspondences.get(layer, self.correspondences[MATCHING_LAYER])
            parts = [slice(start * grid, stop * grid) for start, stop in window]
            maps[layer] = swap(self.references.tables[layer], correspondence, ratio // grid, *parts)[None]
        return maps


class Matching(nn.Module):
    """Find textures for LR images in reference images, by patches of VGG features.

    LR is enlarged (LR-up), and each reference is shrunk and enlarged again (Ref-blur), so that both have the same band
    of frequencies. 3x3 patches of relu3_1 of LR-up are matched with those of Ref-blur; at their places the patches of
    the sharp reference's relu3_1, relu2_1 and relu1_1 are pasted, of 3x3, 6x6 and 12x12 positions, and averaged where
    they overlap. One upsampler, MATLAB's bicubic one, serves training and inference.

    One cell of the grid is 4x4 HR pixels; the maps of an HR image of H x W pixels have h4 = ceil(H / 4) times
    w4 = ceil(W / 4) cells. Where H or W is no multiple of 4 (at scale 2 and 3), LR-up is continued by its last pixels:
    nothing of the image is lost, and the maps reach up to three pixels beyond it, at the bottom and on the right.

    References are cut, at the bottom and on the right, to multiples of 4 and of the scale. Without any, the image
    itself is the reference. It works in full float32 without gradients, one sample after the other: what a sample gets
    does not depend on the batch. There are no parameters, and nothing is in the state dict. Memory for scores is
    bounded by `chunk`, that of a pass through VGG by tiles; the references' features take 448 bytes a pixel.

    Args:
        feature_network: a VGG network with relu1_1, relu2_1 and relu3_1.
        degradation: what LR was made with: (hr, key) -> lr.
        scale: how many times smaller LR is than HR.
        chunk: scores held at once, of 4 bytes each; see `correspond`. It never changes the result.
        self_reference: where there is no reference, `shared` treats LR as any reference, which is shrunk and enlarged
            again and matched on relu3_1 (the paper); `per_layer` matches each of the three layers of LR-up with the
            same layer of LR itself (the released code).
        rotations: degrees by which references are turned; each turned one is offered beside the others.
        scales: likewise enlargements of references. The paper looks in turned and scaled references, without saying
            which; its released code in none.
        truth_every: in every n-th update, the HR image's own features are to take the place of those found, n >= 2;
            None for never. The released code follows each update with such a one, which is 2.
        cache_dir: a folder in which matches are kept for images that will come again; None for no cache.

    Raises:
        UserError: an option is not one of those named above.

    Source:
        Zhang et al., Image Super-Resolution by Neural Texture Transfer, CVPR 2019, section 3.1.
    """

    def __init__(
        self,
        feature_network: FeatureNetwork,
        degradation: nn.Module,
        scale: int,
        chunk: int = CHUNK,
        self_reference: SelfReference = "shared",
        rotations: Sequence[float] = (0.0,),
        scales: Sequence[float] = (1.0,),
        truth_every: int | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_choice("matching.self_reference", self_reference, get_args(SelfReference))
        if int(scale) != scale or scale < 1:
            raise UserError(f"matching.scale={scale} is not a whole number of at least 1.")
        if chunk < 1:
            raise UserError(f"matching.chunk={chunk} is not a number of scores: give at least 1; {CHUNK} is usual.")
        if not rotations or not scales or min(scales) <= 0:
            raise UserError("matching.rotations and matching.scales need at least a number each, and positive scales.")
        if truth_every is not None and truth_every < 2:
            raise UserError(
                f"matching.truth_every={truth_every} would leave no update that looks at references: "
                "give 2 or more, or null."
            )
        self.feature_network = feature_network
        self.degradation = degradation
        self.scale = int(scale)
        self.chunk = chunk
        self.self_reference = self_reference
        self.rotations = tuple(rotations)
        self.scales = tuple(scales)
        self.truth_every = truth_every
        self.cache = None if cache_dir is None else MatchCache(cache_dir)
        self._said_that_references_are_cut = False

    @torch.no_grad()
    def forward(
        self, lr: Tensor, refs: Sequence[Sequence[Tensor]], key: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Match a batch.

        Args:
            lr: (B, 3, h, w) in [0, 1].
            refs: for each sample its references, (3, hr, wr) in [0, 1] and of any sizes; none for self-reference.
            key: per-sample random keys for the degradation, of shape (B, ...).

        Returns:
            Maps, layer -> (B, C, r * h4, r * w4), and similarity (B, 1, h4, w4); float32.

        Raises:
            UserError: LR or a reference is too small.
        """
        matches = [
            self.find(lr[number : number + 1], own, None if key is None else key[number : number + 1])
            for number, own in zip(range(len(lr)), refs, strict=True)
        ]
        maps = [match.maps() for match in matches]
        similarity = torch.cat([match.similarity for match in matches])
        return {layer: torch.cat([own[layer] for own in maps]) for layer in LAYERS}, similarity

    @torch.no_grad()
    def find(self, lr: Tensor, refs: Sequence[Tensor] | References, key: Tensor | None = None) -> Match:
        """Match one image.

        Args:
            lr: (1, 3, h, w) in [0, 1].
            refs: (3, hr, wr) each, in [0, 1] and of any sizes; none for self-reference; or what `references` made, to
                have the same references' features computed once for many images.
            key: (1, ...) random key for the degradation.

        Returns:
            The match, from which maps of the whole image or of windows can be had.

        Raises:
            UserError: LR or a reference is too small.
        """
        lr = lr.float().contiguous()
        grid = self._grid(lr.shape[-2] * self.scale, lr.shape[-1] * self.scale)
        if min(grid) < PATCH:
            least = math.ceil(((PATCH - 1) * CELL + 1) / self.scale)
            raise UserError(
                f"An LR image of {lr.shape[-2]}x{lr.shape[-1]} pixels is too small to be matched at scale "
                f"{self.scale}: it needs {least}x{least}."
            )
        if not isinstance(refs, References):
            refs = self.references(refs, key) if len(refs) else self._own_reference(lr, key)
        correspondences = self._correspondences(lr, grid, refs)
        similarity = correspondences[MATCHING_LAYER].similarity[None, None]
        return Match(F.pad(similarity, (1, 1, 1, 1), mode="replicate"), correspondences, refs)

    @torch.no_grad()
    def references(self, refs: Sequence[Tensor], key: Tensor | None = None) -> References:
        """Prepare references for `find`.

        Args:
            refs: at least one, (3, hr, wr) each, in [0, 1].
            key: (1, ...) random key for the degradation.

        Raises:
            UserError: one of them is too small.
        """
        offered = [one for image in refs for one in variants(image.float()[None], self.rotations, self.scales)]
        images = [self._cut(image, math.lcm(CELL, self.scale), "A reference") for image in offered]
        return self._blurred(images, key)

    @torch.no_grad()
    def truth(self, hr: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """What a perfect match would give: the HR images' own features, and similarities of one.

        Args:
            hr: (B, 3, H, W) in [0, 1].

        Returns:
            As of `forward`; h4 = ceil(H / 4).
        """
        images = [_to_cells(image[None].float().contiguous()) for image in hr]
        features = [extract(self.feature_network, image, LAYERS) for image in images]
        maps = {layer: torch.stack([own[layer] for own in features]) for layer in LAYERS}
        return maps, hr.new_ones(len(hr), 1, *self._grid(*hr.shape[-2:]), dtype=torch.float32)

    def is_truth(self, step: int) -> bool:
        """Whether update number `step`, counted from 1, is one of those that `truth_every` means."""
        return self.truth_every is not None and step % self.truth_every == 0

    def extra_repr(self) -> str:
        """Show the options in `print(module)`."""
        return (
            f"scale={self.scale}, chunk={self.chunk}, self_reference={self.self_reference}, "
            f"rotations={self.rotations}, scales={self.scales}, truth_every={self.truth_every}"
        )

    @staticmethod
    def _grid(height: int, width: int) -> tuple[int, int]:
        """Cells of an HR image."""
        return math.ceil(height / CELL), math.ceil(width / CELL)

    def _own_reference(self, lr: Tensor, key: Tensor | None) -> References:
        """LR in the place of a reference."""
        if self.self_reference == "per_layer":
            image = self._cut(lr, CELL, "Without a reference, an LR image")
            return References(self.feature_network, [image], None, ["per_layer"])
        advice = "; self_reference=per_layer takes smaller ones" if self.scale > CELL else ""
        image = self._cut(lr, math.lcm(CELL, self.scale), "Without a reference, an LR image", advice)
        return self._blurred([image], key)

    def _blurred(self, images: Sequence[Tensor], key: Tensor | None) -> References:
        with torch.autocast(images[0].device.type, enabled=False):
            shrunk = [self.degradation(image, key) for image in images]
            blurred = [bicubic_upsample(image, self.scale) for image in shrunk]
        return References(self.feature_network, images, blurred, ["shared", *images, *shrunk])

    def _cut(self, image: Tensor, multiple: int, what: str, advice: str = "") -> Tensor:
        """Cut (1, 3, H, W) at the bottom and on the right to multiples of `multiple`."""
        height, width = image.shape[-2:]
        least = math.ceil(PATCH * CELL / multiple) * multiple
        if min(height, width) < least:
            raise UserError(
                f"{what} of {height}x{width} pixels is too small to be matched with: one patch needs "
                f"{least}x{least}{advice}."
            )
        kept = height - height % multiple, width - width % multiple
        if kept != (height, width) and not self._said_that_references_are_cut:
            self._said_that_references_are_cut = True
            log.warning(
                "%s of %dx%d pixels is cut to %dx%d, multiples of %d, at the bottom and on the right; so are others "
                "from now on.",
                *(what, height, width, *kept, multiple),
            )
        return image[..., : kept[0], : kept[1]].contiguous()

    def _correspondences(self, lr: Tensor, grid: tuple[int, int], refs: References) -> dict[str, Correspondence]:
        """Matched layer -> correspondence, out of the cache if it is there."""
        if self.cache is None:
            return self._matched(lr, refs)
        grids = {layer: (grid[0] * refs.grid(layer), grid[1] * refs.grid(layer)) for layer in refs.layers}
        sizes = {layer: refs.sizes(layer) for layer in refs.layers}
        # How the references were shrunk is told by the outcome, whatever the degradation and its options.
        name = digest([self._network_digest, str(self.scale), lr.device.type, lr, *refs.identity])
        found = self.cache.load(name, grids, sizes, lr.device)
        if found is None:
            found = self._matched(lr, refs)
            self.cache.store(name, found)
        return found

    @cached_property
    def _network_digest(self) -> str:
        return network_digest(self.feature_network)

    def _matched(self, lr: Tensor, refs: References) -> dict[str, Correspondence]:
        content = extract(self.feature_network, _to_cells(bicubic_upsample(lr, self.scale)), refs.layers)
        return {layer: correspond(content[layer], refs.matched[layer], self.chunk) for layer in refs.layers}


def _to_cells(image: Tensor) -> Tensor:
    """Continue (B, 3, H, W) by its last row and column up to whole cells."""
    height, width = image.shape[-2:]
    if height % CELL == 0 and width % CELL == 0:
        return image
    return F.pad(image, (0, -width % CELL, 0, -height % CELL), mode="replicate")
