"""Photographs and benchmark sets: from image files to the batches of training and evaluation."""

from sr_experiments.data.photos import Photo, benchmark_set, hr_folder, paired_folders
from sr_experiments.data.sample import test_photographs, training_photographs

__all__ = ["Photo", "benchmark_set", "hr_folder", "paired_folders", "test_photographs", "training_photographs"]
