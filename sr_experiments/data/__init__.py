"""Photographs and benchmark sets: from image files to the batches of training and evaluation."""

from sr_experiments.data.cufed import cufed5, cufed5_sets, reference_folders
from sr_experiments.data.photos import Photo, benchmark_set, hr_folder, paired_folders
from sr_experiments.data.sample import test_photographs, training_photographs, unrelated_photographs
from sr_experiments.data.stereo import stereo_test, stereo_training

__all__ = [
    "Photo",
    "benchmark_set",
    "cufed5",
    "cufed5_sets",
    "hr_folder",
    "paired_folders",
    "reference_folders",
    "stereo_test",
    "stereo_training",
    "test_photographs",
    "training_photographs",
    "unrelated_photographs",
]
