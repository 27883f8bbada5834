"""The saved view of a sweep in Weights & Biases, defined in code: `sr-report FOLDER --wandb ENTITY/PROJECT`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sr_experiments.errors import UserError
from sr_experiments.metrics.directions import higher_is_better, own_directions
from sr_experiments.report.read import Run, flat
from sr_experiments.report.table import TECHNICAL, differing_keys
from sr_experiments.runs.folder import RunFolder

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

# The horizontal axis of all curves: generator updates.
STEP = "trainer/global_step"

# Curves of an adversarial game: what the discriminator makes of images, and how large the gradients are.
GAME = re.compile(r"(train|val)/(d_\w+|gradient_norm|adversarial)$")

SHEETS = ("images/crops_sheet", "images/best_and_worst_sheet")
TABLES = ("images/crops", "images/best_and_worst")

# More axes than this cannot be told apart.
MOST_AXES = 10


def save_workspace(runs: Sequence[Run], target: str, title: str) -> str:
    """Create the view online; the runs themselves are uploaded by `wandb sync`.

    Args:
        runs: as `find_runs` reads them.
        target: ENTITY/PROJECT.
        title: the name of the view.

    Returns:
        Its address.

    Raises:
        UserError: W&B cannot be reached, refuses, or knows no login; see also `build_workspace`.
    """
    workspace = build_workspace(runs, target, title)
    try:
        return workspace.save().url
    except Exception as error:  # the service process of W&B raises exceptions of many kinds
        reason = " ".join(str(error).split())
        raise UserError(
            f"W&B did not take the view for {target} ({reason}). Check the name, the network and `wandb login`."
        ) from error


def check_target(target: str) -> None:
    """Check that a view can be made there, before the runs are read.

    Raises:
        UserError: `target` is not ENTITY/PROJECT, the library is missing, or there is no login that works.
    """
    if not re.fullmatch(r"[^/\s]+/[^/\s]+", target):
        raise UserError(f"--wandb {target}: give ENTITY/PROJECT, the user or team and the project in W&B.")
    try:
        import wandb
        import wandb_workspaces  # noqa: F401
    except ImportError as error:
        raise UserError(
            "--wandb needs the library wandb-workspaces: pip install 'sr-experiments[workspaces]'."
        ) from error
    try:
        is_known = wandb.login(prompt=False)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--wandb cannot log in ({reason}). Check the network and `wandb login`.") from error
    if not is_known:
        raise UserError("--wandb needs a login: run `wandb login` once, or set WANDB_API_KEY.")


def build_workspace(runs: Sequence[Run], target: str, title: str) -> Workspace:
    """Build the view, without sending it: scores, trade-off, importance of keys, curves, discriminator, pictures.

    Sections without panels and panels without values are left out.

    Raises:
        UserError: no run was logged to W&B.
    """
    import wandb_workspaces.expr as expr
    import wandb_workspaces.workspaces as ws

    ids = [found for run in runs if (found := wandb_id(run))]
    if not ids:
        raise UserError("None of these runs was logged to W&B: train with logger=default or logger=wandb.")
    curves = sorted({name for run in runs for name in run.curves})
    own = {name: better for run in runs for name, better in own_directions(run.results).items()}
    scores = test_scores(runs, own)
    keys = config_keys(runs)
    sections = [
        section("Test", _bars(scores, own)),
        section("Distortion and perception", _plane(scores, own)),
        section("What matters", _importance(scores, keys, own)),
        section("Validation", _lines([name for name in curves if name.startswith("val/") and not GAME.match(name)])),
        section("Training", _lines([name for name in curves if name.startswith("train/") and not GAME.match(name)])),
        section("The game", _lines([name for name in curves if GAME.match(name)])),
        section("Pictures", _pictures()),
    ]
    entity, project = target.split("/")
    return ws.Workspace(
        entity=entity,
        project=project,
        name=title,
        sections=[part for part in sections if part.panels],
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=50),
        runset_settings=ws.RunsetSettings(
            filters=[expr.Metric("ID").isin(ids)],
            pinned_columns=[*(f"config:{_dotted(key)}" for key in keys), *(f"summary:{key}" for key in scores)],
        ),
    )


def wandb_id(run: Run) -> str | None:
    """The id of a run in W&B; None where it has none, or the file is damaged."""
    try:
        found = RunFolder(run.folder).wandb_id.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    return found if re.fullmatch(r"[\w-]+", found) else None


def test_scores(runs: Sequence[Run], own: Mapping[str, bool]) -> list[str]:
    """Names under which W&B has the means of the test that any run has: `test/SET/METRIC`."""
    found = {
        f"test/{name}/{metric}": None
        for run in runs
        if run.are_final
        for name, means in run.tests.items()
        for metric, value in means.items()
        if value is not None and higher_is_better(metric, own) is not None
    }
    return list(found)


def config_keys(runs: Sequence[Run]) -> list[str]:
    """The keys of W&B's config in which runs differ: dotted keys, `choices.GROUP` for options, `seed`."""
    groups = {group for run in runs for group in run.choices}
    known = {key for run in runs for key in flat(run.config)}
    found = [
        f"choices.{key.replace('.', '_')}" if key in groups else key
        for key in differing_keys(runs)
        if not TECHNICAL.match(key) and (key in groups or key in known)
    ]
    seeds = ["seed"] if len({run.seed for run in runs}) > 1 else []
    return [*found, *seeds][:MOST_AXES]


def section(name: str, panels: list[Any]) -> Section:
    """An open section of the view."""
    import wandb_workspaces.workspaces as ws

    return ws.Section(name=name, panels=panels, is_open=True)


def _dotted(key: str) -> str:
    """A key of the config as columns of W&B spell it: what it knows has its value below `value`."""
    first, dot, rest = key.partition(".")
    return f"{first}.value{dot}{rest}"


def _bars(scores: Sequence[str], own: Mapping[str, bool]) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    return [
        wr.BarPlot(title=_title(score, own), metrics=[score], orientation="h", max_runs_to_show=50) for score in scores
    ]


def _plane(scores: Sequence[str], own: Mapping[str, bool]) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    panels = []
    for score in scores:
        of, _, metric = score.rpartition("/")
        if f"{of}/psnr" in scores and higher_is_better(metric, own) is False:
            panels.append(
                wr.ScatterPlot(
                    title=f"{of.removeprefix('test/')}: PSNR (right is better) against {metric} (down is better)",
                    x=wr.SummaryMetric(f"{of}/psnr"),
                    y=wr.SummaryMetric(score),
                )
            )
    return panels


def _importance(scores: Sequence[str], keys: Sequence[str], own: Mapping[str, bool]) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    if not scores or not keys:
        return []
    axes = [wr.ParallelCoordinatesPlotColumn(wr.Config(key), display_name=key.removeprefix("choices.")) for key in keys]
    first = scores[0].rpartition("/")[0]
    shown = [score for score in scores if score.startswith(f"{first}/")]
    ends = [
        wr.ParallelCoordinatesPlotColumn(
            wr.SummaryMetric(score), display_name=_title(score, own), inverted=not higher_is_better(score, own)
        )
        for score in shown
    ]
    return [
        wr.ParallelCoordinatesPlot(title="what was set, and what came of it", columns=[*axes, *ends]),
        *(wr.ParameterImportancePlot(with_respect_to=score) for score in shown),
    ]


def _lines(names: Sequence[str]) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    kept = [name for name in names if not name.endswith("_weight")]
    return [wr.LinePlot(title=name, x=STEP, y=[name], title_x="generator updates") for name in kept]


def _pictures() -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    return [
        *(wr.MediaBrowser(title=key, media_keys=[key], num_columns=1) for key in SHEETS),
        *(wr.WeavePanelSummaryTable(table_name=key) for key in TABLES),
    ]


def _title(score: str, own: Mapping[str, bool]) -> str:
    of, _, metric = score.removeprefix("test/").rpartition("/")
    return f"{of}: {metric} ({'higher' if higher_is_better(score, own) else 'lower'} is better)"
