"""Full float32 arithmetic, whatever a training has chosen for its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Switch off autocast and the reduced float32 of matrix products and convolutions (TF32, bfloat16), then restore.

    Reduced precision changes scores in the third digit, which changes the best match of most patches.
    """
    with torch.autocast(device.type, enabled=False):
        switches = _switches()
        before = [(holder, name, getattr(holder, name)) for holder, name, _ in switches]
        try:
            for holder, name, value in switches:
                setattr(holder, name, value)
            yield
        finally:
            for holder, name, value in before:
                setattr(holder, name, value)


def _switches() -> list[tuple[object, str, object]]:
    """Where torch keeps the precision of float32 work, as (object, attribute, value for full precision)."""
    backends: Any = torch.backends
    if hasattr(backends.cuda.matmul, "fp32_precision"):  # torch 2.9 and later; must not be mixed with what was before
        parts = (backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv)
        return [(part, "fp32_precision", "ieee") for part in parts]
    return [(backends.cuda.matmul, "allow_tf32", False), (backends.cudnn, "allow_tf32", False)]
