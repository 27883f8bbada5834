"""Building a network from a foreign config: it may not be larger than the weights that come with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from sr_experiments.errors import UserError


@contextmanager
def bounded_building(most_modules: int, most_elements: int) -> Iterator[None]:
    """Refuse to build modules without end, or weights beyond all memory, before their memory is touched.

    A config of a few bytes may ask for a thousand million blocks.

    Args:
        most_modules: registrations of submodules within the context.
        most_elements: elements of all parameters and buffers registered within the context.

    Raises:
        UserError: one of the two is exceeded.
    """
    modules = elements = 0

    def count_module(parent: nn.Module, name: str, child: nn.Module) -> None:
        nonlocal modules
        modules += 1
        if modules > most_modules:
            raise UserError(
                f"its config asks for more than {most_modules} modules, far more than its weights belong to"
            )

    def count_elements(parent: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal elements
        elements += 0 if tensor is None or isinstance(tensor, nn.UninitializedParameter) else tensor.numel()
        if elements > most_elements:
            raise UserError(f"its config asks for more than {most_elements} weights, far more than the file holds")

    hooks: list[Any] = [
        register_module_module_registration_hook(count_module),
        register_module_parameter_registration_hook(count_elements),
        register_module_buffer_registration_hook(count_elements),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
