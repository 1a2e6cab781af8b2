"""Which digit is written? Torch, images."""
