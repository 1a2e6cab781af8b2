"""Keras: fit, callbacks, memory, saved state."""
