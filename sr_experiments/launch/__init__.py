"""What makes Hydra, runs and their folders work together: composing, checking, resuming, reading back."""
