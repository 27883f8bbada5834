"""Hydra finds plugins in this package and nowhere else; what they do is in `sr_experiments.launchers`.

Hydra reads this file at the start of every command: nothing that takes time is imported here.
"""

from sr_experiments.launchers import local, slurm


class LocalLauncher(local.Local):
    """`hydra/launcher=local`."""


class SlurmLauncher(slurm.Slurm):
    """`hydra/launcher=slurm`."""
