"""Weights & Biases, offline by default; its troubles never stop a training."""

from __future__ import annotations

import logging
import os
import uuid
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.loggers import WandbLogger

log = logging.getLogger(__name__)


class WandbLog(WandbLogger):
    """Lightning's W&B logger that falls back to offline, and to silence, where W&B fails.

    Args:
        folder: the run folder; W&B keeps its files in `wandb/` there.
        project: the W&B project.
        mode: `offline` (upload later with `wandb sync`) or `online`.
        name: the run's name in W&B; null for its folder.
        group: the run's group in W&B.
        tags: the run's tags in W&B.
    """

    def __init__(
        self,
        folder: str,
        project: str,
        mode: str = "offline",
        name: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
    ) -> None:
        import wandb

        self.failed = False
        name = name or "/".join(Path(folder).parts[-2:])
        # W&B's own prints would tear the progress bar apart.
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
        """The W&B run: offline if the server could not be reached, a silent one if W&B does not work at all."""
        import wandb

        for fallback in ("offline", "disabled"):
            try:
                return super().experiment
            except Exception as error:
                log.warning("W&B cannot start (%s): it goes on %s.", error, fallback)
                wandb.teardown()  # else the failed attempt keeps the run's id to itself
                self._offline = True
                self._wandb_init["mode"] = fallback
        return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Log a row at a generator update."""
        self._attempt(super().log_metrics, metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Log the composed config."""
        self._attempt(super().log_hyperparams, params)

    @rank_zero_only
    def close(self) -> None:
        """Close the run, so that its files are complete."""

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
    """One id a run folder, so that a resumed run continues its W&B run; the agent of a W&B sweep gives its own."""
    path = folder / "wandb" / "run_id"
    if path.exists():
        return path.read_text().strip()
    run_id = os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:12]
    if getattr(rank_zero_only, "rank", None) in (None, 0):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(run_id)
    return run_id
