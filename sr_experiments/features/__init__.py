"""Feature networks (VGG, ResNet), shared by the terms of a loss, the scores and the matching."""
