"""Sweeps: many jobs from one command, which can be shared, interrupted, resumed and extended."""
