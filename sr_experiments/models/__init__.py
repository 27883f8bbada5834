"""Networks, one paper a file: plain modules that map (B, 3, h, w) in [0, 1] to (B, 3, scale * h, scale * w)."""
