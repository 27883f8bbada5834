"""LightningModules, and what they share: optimizers, schedules and guards."""
