"""The run folder: its names, what is read from it and written to it."""
