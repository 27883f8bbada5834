"""Kinds of training, one a file."""
