"""Sweeps: many jobs from one command, that can be shared, interrupted, taken up again and extended."""
