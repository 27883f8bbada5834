"""Lightning callbacks and loggers: evaluation, logs, checkpoints, pictures, progress."""
