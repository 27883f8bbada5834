"""Composing a config, checking it, and making a run of it."""
