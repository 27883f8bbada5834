"""`sr-upscale`: enlarge photographs with a trained network."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sr_experiments.errors import UserError, exit_with_message

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from sr_experiments.app.trained import TrainedNetwork

    # From a file and its picture to what the picture has of an input.
    Find = Callable[[Path, NDArray[np.uint8]], Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `sr-upscale`."""
    return exit_with_message(lambda: _main(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sr-upscale", description="Enlarge photographs with a trained network.")
    parser.add_argument("inputs", nargs="+", metavar="IMAGE_OR_DIR", help="images, or folders of images of any depth")
    parser.add_argument("--checkpoint", metavar="X", help="a run folder of sr-train, or a .ckpt file")
    parser.add_argument("--model", metavar="NAME", help="or a network by name, as in sr-eval, with --weights")
    parser.add_argument(
        "--weights", metavar="FILE", help="the weights of --model, as published: .pth, .safetensors, .npz"
    )
    scale_help = "the enlargement of --model (4), or another one of a checkpoint of several scales"
    parser.add_argument("--scale", type=int, metavar="N", help=scale_help)
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of --model, as model.channels=1 or upsampler=transposed; may be given repeatedly",
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="where NAME.png is written")
    parser.add_argument(
        "--ref",
        action="append",
        default=[],
        metavar="IMAGE",
        help="a picture of any size whose textures to use, for networks that take references; may be given repeatedly",
    )
    parser.add_argument(
        "--blur",
        type=float,
        metavar="SIGMA",
        help="width of the blur in the images, in pixels of the result, for networks that are told it (0)",
    )
    parser.add_argument(
        "--noise",
        type=float,
        metavar="LEVEL",
        help="noise in the images, on the scale 0..255, for networks that are told it (0)",
    )
    parser.add_argument(
        "--condition",
        metavar="DIR",
        help="maps of what the images show, NAME.npy or NAME.png as large as the results, for networks that take them",
    )
    parser.add_argument("--tile", type=int, default=512, metavar="N", help="LR pixels a tile; 0: whole images (512)")
    parser.add_argument("--ensemble", action="store_true", help="average over the eight flips and turns; 8x slower")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (auto)")
    parser.add_argument(
        "--feature-weights",
        metavar="FILE",
        help="imagenet or a file: for networks that take references, if what they compare them by lies elsewhere here",
    )
    parser.add_argument("--trust", action="append", default=[], metavar="NAME", help="a part of your own to allow")
    return parser


def _main(arguments: argparse.Namespace) -> int:
    if arguments.tile < 0:
        raise UserError(f"--tile {arguments.tile} must not be negative; 0 enlarges whole images.")
    from rich.progress import track

    from sr_experiments.data.images import read_image, write_png
    from sr_experiments.inference.enlarger import Enlarger

    references = [Path(name) for name in arguments.ref]
    jobs = _jobs(arguments.inputs, Path(arguments.output), references)
    trained = _network(arguments)
    device = _device(arguments.device)
    enlarge = Enlarger(trained.network.to(device), trained.scale, arguments.tile, arguments.ensemble)
    # Each has one input, and says what a picture has of it; nothing for a network that does not take it.
    sources = {
        "degradation_map": _degradation_map(trained, arguments.blur, arguments.noise),
        "condition": _conditions(trained, arguments.condition, jobs, Path(arguments.output)),
        "textures": _textures(trained, references, arguments.feature_weights, device),
    }
    for source, target in track(jobs, description="upscaling", disable=not sys.stdout.isatty()):
        pixels = read_image(source)
        given = {name: find(source, pixels) for name, find in sources.items() if find is not None}
        write_png(target, enlarge(pixels, given))
    print(f"{len(jobs)} image{'s' if len(jobs) != 1 else ''} x{trained.scale} -> {arguments.output}")
    return 0


def _network(arguments: argparse.Namespace) -> TrainedNetwork:
    """The network of a checkpoint, or one by name with bare weights."""
    from sr_experiments.app.trained import load_published, load_trained

    named = [arguments.model, arguments.weights, *arguments.option]
    if arguments.checkpoint is not None:
        if any(value is not None for value in named):
            raise UserError("A checkpoint knows its network: leave --model, --weights and --option out.")
        return load_trained(arguments.checkpoint, arguments.trust, arguments.scale)
    if arguments.model is None or arguments.weights is None:
        raise UserError("Say with what: --checkpoint RUN_OR_CKPT, or --model NAME --weights FILE --scale N.")
    scale = 4 if arguments.scale is None else arguments.scale
    return load_published(arguments.model, arguments.weights, scale, arguments.option)


def _degradation_map(trained: TrainedNetwork, blur: float | None, noise: float | None) -> Find | None:
    """What the network is told of how its images were made.

    Raises:
        UserError: the network is not told such things, is told others, or was not trained for these.
    """
    from sr_experiments.models.traits import traits

    name = traits(trained.network).name
    if "degradation_map" not in traits(trained.network).inputs:
        if blur is not None or noise is not None:
            raise UserError(f"{name} is not told how its images were made: leave --blur and --noise out.")
        return None
    from sr_experiments.degradations import BlurNoise

    degradation = trained.make_degradation()
    if not isinstance(degradation, BlurNoise):
        raise UserError(
            f"{name} was trained with {type(degradation).__name__}, of which --blur and --noise say nothing: use it "
            "from Python."
        )
    try:
        told = degradation.map_of(blur or 0, noise or 0)
    except UserError as error:
        raise UserError(f"Give other numbers with --blur SIGMA and --noise LEVEL (0 unless given): {error}") from error
    return lambda source, pixels: told


def _conditions(
    trained: TrainedNetwork, folder: str | None, jobs: Sequence[tuple[Path, Path]], output: Path
) -> Find | None:
    """The map of what each image shows, for a network that takes one.

    Raises:
        UserError: the network takes none, none were given, or one is missing.
    """
    from sr_experiments.data.photos import condition_file
    from sr_experiments.inputs.condition import ConditionFile
    from sr_experiments.models.traits import traits

    said = traits(trained.network)
    name = said.name
    if "condition" not in said.inputs:
        if folder is not None:
            raise UserError(f"{name} takes no condition: leave --condition out.")
        return None
    if folder is None:
        raise UserError(f"{name} takes a map of what an image shows: give --condition DIR with NAME.npy or NAME.png.")
    names = {source: target.relative_to(output).with_suffix("").as_posix() for source, target in jobs}
    files = {source: condition_file(Path(folder), name, source) for source, name in names.items()}

    def find(source: Path, pixels: NDArray[np.uint8]) -> ConditionFile:
        size = (pixels.shape[0] * trained.scale, pixels.shape[1] * trained.scale)
        return ConditionFile(files[source], said.input_channels["condition"], size)

    return find


def _textures(
    trained: TrainedNetwork, references: Sequence[Path], feature_weights: str | None, device: torch.device
) -> Find | None:
    """What the references have for each image, for a network that takes textures.

    Raises:
        UserError: the network takes none, a reference is too small, or what finds them cannot be made.
    """
    from sr_experiments.data.images import read_image
    from sr_experiments.inference.enlarger import as_image

    matching = trained.make_matching("--feature-weights FILE", feature_weights)
    if matching is None:
        if references:
            raise UserError(f"{type(trained.network).__name__} takes no references: leave them out.")
        return None
    matching = matching.to(device)
    images = [as_image(read_image(reference), device)[0] for reference in references]
    if not references:
        print("No --ref: every picture is its own reference.")
    found = matching.references(images) if images else ()
    return lambda source, pixels: matching.find(as_image(pixels, device), found)


def _jobs(inputs: Sequence[str], output: Path, references: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Which file becomes which.

    Raises:
        UserError: an input is missing, two of them would become one file, or a result would replace an input or a
            reference.
    """
    from sr_experiments.data.images import find_images

    jobs: dict[Path, Path] = {}
    for name in map(Path, inputs):
        found = (
            [(file, file.relative_to(name)) for file in find_images(name)]
            if name.is_dir()
            else [(name, Path(name.name))]
        )
        for file, relative in found:
            target = output / relative.with_suffix(".png")
            if target in jobs:
                raise UserError(f"{jobs[target]} and {file} would both become {target}: enlarge them one by one.")
            jobs[target] = file
    precious = {file.resolve(): "reference" for file in references} | {
        file.resolve(): "input" for file in jobs.values()
    }
    for target, file in jobs.items():
        kind = precious.get(target.resolve())
        if kind:
            raise UserError(f"{file} enlarged would replace the {kind} {target}: choose another folder with -o.")
    return [(source, target) for target, source in jobs.items()]


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name} cannot be used here: {str(error).splitlines()[0]}") from error
    return torch.device(name)


if __name__ == "__main__":
    sys.exit(main())
