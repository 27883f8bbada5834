"""Processes of one run: starting them, their signals, leaving in good order."""
