"""Image super-resolution experiments: model x loss x upsampler x degradation, each run one composed config."""

__version__ = "0.1.0"
