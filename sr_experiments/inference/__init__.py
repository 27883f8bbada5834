"""From a trained network to an enlarged image: tiles, colour, ensembles, counting."""
