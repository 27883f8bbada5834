"""The feature network and the photographs that the tests of features use, too."""

from tests.features.conftest import photographs, torchvision_vgg19, vgg19, vgg19_file

__all__ = ["photographs", "torchvision_vgg19", "vgg19", "vgg19_file"]
