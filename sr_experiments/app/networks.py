"""The networks beside each other: what they cost, how far they see, and what is published of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from sr_experiments.app.config import options_of
from sr_experiments.errors import UserError, nearest

if TYPE_CHECKING:
    from sr_experiments.inference.receptive_field import ReceptiveField

SETS = ("Set5", "Set14", "B100", "Urban100")
WIDTH, HEIGHT = 1280, 720  # of the picture for which multiply-adds are counted


@dataclass(frozen=True)
class Published:
    """What is published of a network at one scale.

    Attributes:
        year: of the first publication; None for a network of this project's own.
        paper: where.
        parameters: at x4, as the paper or its authors' code counts them.
        multiply_adds: for a picture of 1280x720.
        scores: PSNR (dB) and SSIM a set, as they are printed: 32.63/.9002, or 28.94 without SSIM.
        source: whose table the scores are from.
        remark: what makes them differ from the others.
    """

    year: int | None = None
    paper: str | None = None
    parameters: int | None = None
    multiply_adds: float | None = None
    scores: dict[str, str] = field(default_factory=dict)
    source: str | None = None
    remark: str | None = None


@dataclass(frozen=True)
class Row:
    """A network at one scale: what is counted, and what is published.

    Attributes:
        name: as in `model=NAME`.
        framework: where it enlarges: pre, post, progressive or iterative.
        parameters: of the network as its option builds it.
        multiply_adds: for a picture of 1280x720.
        field: how far it sees.
        published: what is published of it.
    """

    name: str
    framework: str
    parameters: int
    multiply_adds: int
    field: ReceptiveField
    published: Published


def overview(
    names: Sequence[str] = (), scale: float = 4, progress: TextIO | None = None
) -> tuple[list[Row], dict[str, str]]:
    """Count what networks cost and how far they see.

    Args:
        names: options of the group `model`; none for all.
        scale: the enlargement.
        progress: a terminal on which to show how far it is.

    Returns:
        A row a network, those published first in front, and why others have none: name -> reason.

    Raises:
        UserError: there is no such network.
    """
    from rich.console import Console
    from rich.progress import track

    known = [file.stem for file in options_of("model")]
    for name in names:
        if name not in known:
            raise UserError(f"There is no model {name}.{nearest(name, known)} The models are: {', '.join(known)}.")
    published = read_published()
    rows, left_out = [], {}
    console = Console(file=progress)
    for name in track(
        names or known, "Counting", console=console, transient=True, disable=progress is None or not console.is_terminal
    ):
        try:
            rows.append(_row(name, scale, published.get(name, {})))
        except UserError as error:
            left_out[name] = str(error)
    return sorted(rows, key=lambda row: (row.published.year or 9999, row.name)), left_out


def _row(name: str, scale: float, published: dict[str, Any]) -> Row:
    """Build a network, once for its shapes alone and once for real, and count.

    Raises:
        UserError: it cannot be built as it is.
    """
    import torch
    from hydra.utils import instantiate

    from sr_experiments.app.compose import compose_config
    from sr_experiments.app.explain import in_words
    from sr_experiments.inference import figures
    from sr_experiments.inference.receptive_field import receptive_field
    from sr_experiments.models.traits import traits

    try:
        config = compose_config("train", [f"model={name}", f"scale={scale}"]).model
        with torch.device("meta"):
            shapes = instantiate(config).eval()
        network = instantiate(config).eval()
    except Exception as error:
        raise in_words(error, "train") from error
    said = traits(network)
    if said.needs_weights:
        raise UserError("it is the network of its weights.")
    # The LR image of whole pixels that is nearest to the picture; at x3 it is too wide by a third of a pixel.
    height, width = round(HEIGHT / scale), round(WIDTH / scale)
    ratio = HEIGHT * WIDTH / (height * width * scale**2)
    return Row(
        name=name,
        framework=said.framework or "",
        parameters=figures.parameters(network),
        multiply_adds=round(figures.multiply_adds(shapes, height, width) * ratio),
        field=receptive_field(network),
        published=published_at(published, scale),
    )


def read_published() -> dict[str, dict[str, Any]]:
    """What is published of each network, as `models/published.yaml` has it."""
    import yaml  # type: ignore[import-untyped]

    return yaml.safe_load((Path(__file__).parent.parent / "models" / "published.yaml").read_text(encoding="utf-8"))


def published_at(entry: dict[str, Any], scale: float) -> Published:
    """What an entry of `models/published.yaml` says of one scale."""
    texts = entry.get("scores", {}).get(scale, "").split()
    scores = {name: text for name, text in zip(SETS, texts, strict=False) if text != "-"}
    source = f"{entry['source']}'s table" if "source" in entry else "the paper"
    unchecked = scale in entry.get("unchecked", ())
    billions = entry.get("multiply_adds", {}).get(scale)
    return Published(
        year=entry.get("year"),
        paper=entry.get("paper"),
        parameters=entry.get("parameters") if scale == 4 else None,
        multiply_adds=None if billions is None else billions * 1e9,
        scores=scores,
        source=source + (", unchecked" if unchecked else "") if scores else None,
        remark=entry.get("remark") if scores else None,
    )
