"""Weights & Biases, offline by default; its failures never stop a training."""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import WandbLogger

from sr_experiments.callbacks.sheets import Example, Pixels
from sr_experiments.metrics.directions import higher_is_better
from sr_experiments.runs.folder import RunFolder

log = logging.getLogger(__name__)

# The horizontal axis of everything: generator updates, under the name that Lightning gives them.
STEP = "trainer/global_step"

# The user's folder for artifacts that wait for upload; None: in the run folder.
DATA_FOLDER = os.environ.get("WANDB_DATA_DIR")


class WandbLog(WandbLogger):
    """Lightning's W&B logger; where W&B fails it goes offline, or logs nothing.

    Args:
        folder: the run folder; W&B keeps its files in `wandb/` there.
        project: the W&B project.
        mode: `offline` (upload later with `wandb sync`) or `online`.
        name: the run's name in W&B; null for its folder.
        group: the run's group in W&B.
        tags: the run's tags in W&B.
        log_checkpoint: whether `best.ckpt` becomes an artifact of the run when it ends.
    """

    def __init__(
        self,
        folder: str,
        project: str,
        mode: str = "offline",
        name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        log_checkpoint: bool = False,
    ) -> None:
        import wandb

        self.failed = False
        self.higher_is_better: dict[str, bool] = {}  # of scores that are not of this project
        self.best_checkpoint = RunFolder(folder).best_checkpoint if log_checkpoint else None
        self.defined: set[str] = set()
        self.files = Path(folder).absolute() / "wandb" / "artifacts"
        name = name or "/".join(Path(folder).parts[-2:])
        # W&B's own output would break the progress bar.
        settings = wandb.Settings(silent=True, init_timeout=30, x_disable_stats=mode == "offline")
        super().__init__(
            name=name,
            save_dir=folder,
            project=project,
            offline=mode == "offline",
            id=_run_id(Path(folder)),
            group=group,
            tags=list(tags or []),
            settings=settings,
        )
        self._wandb_init.pop("anonymous", None)  # W&B warns of it even when it is not set

    @property
    def experiment(self) -> Any:
        """The W&B run: offline if the server cannot be reached, disabled if W&B does not work at all."""
        import wandb

        if self._experiment is None:
            # W&B would put them into the user's home folder.
            os.environ["WANDB_DATA_DIR"] = DATA_FOLDER or str(self.files)
        for fallback in ("offline", "disabled"):
            try:
                return super().experiment
            except Exception as error:
                log.warning("W&B cannot start (%s): it goes on %s.", error, fallback)
                wandb.teardown()  # otherwise the failed attempt keeps the run's id
                self._offline = True
                self._wandb_init["mode"] = fallback
        return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log a row at a generator update."""
        self._attempt(self._define, metrics)
        self._attempt(super().log_metrics, metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Log the composed config."""
        self._attempt(super().log_hyperparams, params)

    @rank_zero_only
    def log_pictures(self, key: str, examples: Sequence[Example], sheet: Pixels, step: int) -> None:
        """Log examples as a table under `key`, one for each time, and their sheet under `key` with `_sheet` added.

        A panel of the sheet has a slider over the steps; a panel of the tables shows the last one, or with the query
        `runs.history.concat["KEY"]` all of them. (W&B's incremental tables would begin anew in a run that was resumed
        offline.)

        Args:
            key: with a slash: what stands before it is the section of the workspace.
            examples: rows of the table.
            sheet: uint8 (H, W, 3).
            step: the generator update.
        """
        self._attempt(self._log_pictures, key, examples, sheet, step)

    def _log_pictures(self, key: str, examples: Sequence[Example], sheet: Pixels, step: int) -> None:
        import wandb

        labels = list(dict.fromkeys(label for example in examples for label in example.panels))
        names = list(dict.fromkeys(name for example in examples for name in example.values))
        table = wandb.Table(columns=["step", "image", *labels, *names])
        for example in examples:
            panels = [wandb.Image(example.panels[label]) if label in example.panels else None for label in labels]
            table.add_data(step, example.name, *panels, *(example.values.get(name) for name in names))
        self.experiment.log({key: table, f"{key}_sheet": wandb.Image(sheet), STEP: step})

    def _define(self, metrics: Any) -> None:
        """Let the run's summary hold the best value of each validation score beside the last."""
        for name in metrics:
            if name in self.defined or not name.startswith("val/"):
                continue
            self.defined.add(name)
            is_better = higher_is_better(name, self.higher_is_better)
            if is_better is not None:
                best = "max" if is_better else "min"
                self.experiment.define_metric(name, step_metric=STEP, step_sync=True, summary=f"{best},last")

    def _log_checkpoint(self, path: Path) -> None:
        import wandb

        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        told = {"step": content["global_step"], "scale": content.get("config", {}).get("scale")}
        artifact = wandb.Artifact(f"best-{self.experiment.id}", type="model", metadata=told)
        artifact.add_file(str(path), name=path.name)
        self.experiment.log_artifact(artifact, aliases=["best"])

    @rank_zero_only
    def close(self) -> None:
        """Log the best checkpoint as an artifact, if `log_checkpoint` is on, and close the run."""
        if self.best_checkpoint is not None and self.best_checkpoint.exists():
            self._attempt(self._log_checkpoint, self.best_checkpoint)

        def finish() -> None:
            if self._experiment is not None:
                self._experiment.finish()
                self._experiment = None

        self._attempt(finish)

    def _attempt(self, action: Any, *args: Any) -> None:
        if self.failed:
            return
        try:
            action(*args)
        except Exception as error:
            self.failed = True
            log.warning("W&B failed (%s): the run goes on without it; metrics.csv has everything.", error)


def _run_id(folder: Path) -> str:
    """One id per run folder, so that a resumed run continues its W&B run; an agent of a W&B sweep sets its own."""
    path = RunFolder(folder).wandb_id
    try:
        known = path.read_text().strip()
    except (OSError, ValueError):
        known = ""
    if re.fullmatch(r"[\w-]+", known):
        return known
    run_id = os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:12]
    if getattr(rank_zero_only, "rank", None) in (None, 0):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(run_id)
        except OSError as error:
            log.warning("%s cannot be written (%s): a resumed run will be another one in W&B.", path, error)
    return run_id
