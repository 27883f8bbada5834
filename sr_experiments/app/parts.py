"""Making a part that the config of a file names, if it is one of those that the shipped configs name."""

from __future__ import annotations

from typing import Any

from hydra.errors import HydraException
from hydra.utils import instantiate

from sr_experiments.app.config import check_targets, shipped_targets
from sr_experiments.errors import UserError, find_user_error


def make_part(config: Any, group: str, source: str) -> Any:
    """Make a part from a plain, resolved config of a run.

    Args:
        config: with a `_target_`.
        group: of configs, whose options may be named.
        source: where the config is from, for messages.

    Raises:
        UserError: it names something else, or cannot be made.
    """
    check_targets(config, shipped_targets(group), source)
    try:
        return instantiate(config)
    except HydraException as error:
        raise UserError(str(find_user_error(error) or error.__cause__ or error)) from error
