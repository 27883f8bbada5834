"""Own parts for sr_experiments."""
