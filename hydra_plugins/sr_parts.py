"""Puts the configs of users' packages on Hydra's search path; see `sr_experiments.app.packages`."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from sr_experiments.app.packages import own_packages


class OwnParts(SearchPathPlugin):
    """Finds `GROUP=OPTION` of installed packages, after the shipped ones."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folder of each package."""
        for name, folder in own_packages().items():
            search_path.append(provider=name, path=f"file://{folder}")
