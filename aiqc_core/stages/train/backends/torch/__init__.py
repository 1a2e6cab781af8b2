"""PyTorch: fit, loop, loss, saved state."""
