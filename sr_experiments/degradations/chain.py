"""Several degradations, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from sr_experiments.degradations.base import Degradation
from sr_experiments.errors import UserError
from sr_experiments.pixels.draws import keys_of, keys_of_part
from sr_experiments.pixels.options import check_scale


class Chain(Degradation):
    """Apply degradations in their order; together they must shrink by `scale`.

    Args:
        scale: how many times smaller LR is than HR.
        steps: the degradations; their scales multiply.

    Raises:
        UserError: there are no steps, or they shrink by another number.
    """

    def __init__(self, scale: float, steps: Sequence[nn.Module]) -> None:
        super().__init__()
        check_scale(scale)
        self.scale = scale
        self.steps = nn.ModuleList(steps)
        scales = [float(step.scale) for step in steps]  # type: ignore[arg-type]
        together = math.prod(scales)
        if not scales or not math.isclose(together, scale, rel_tol=1e-6):
            named = zip(scales, steps, strict=True)
            parts = " * ".join(f"{number:g} ({type(step).__name__})" for number, step in named) or "nothing"
            raise UserError(
                f"The steps of this degradation shrink by {parts} = {together:g}, not by scale={scale:g}: change "
                "degradation.steps or scale."
            )

    def drawn(self, key: Tensor) -> dict[str, Tensor]:
        """What every step draws, its names with the number and kind of the step in front."""
        found = {}
        for index, step in enumerate(self.steps):
            values = step.drawn(keys_of_part(key.cpu(), index)) if isinstance(step, Degradation) else {}
            found.update({f"{index}_{type(step).__name__.lower()}/{name}": value for name, value in values.items()})
        return found

    def extras(self, key: Tensor) -> dict[str, Tensor]:
        """The `extras` of all steps."""
        found = {}
        for index, step in enumerate(self.steps):
            if isinstance(step, Degradation):
                found.update(step.extras(keys_of_part(key.cpu(), index)))
        return found

    def target(self, hr: Tensor) -> Tensor:
        """The target of the first step, which gets HR."""
        first = self.steps[0]
        return first.target(hr) if isinstance(first, Degradation) else hr

    def forward(self, hr: Tensor, key: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in [0, 1] -> LR (B, C, H / scale, W / scale)."""
        keys = keys_of(hr, key)
        for index, step in enumerate(self.steps):
            hr = step(hr, keys_of_part(keys, index))
        return hr
