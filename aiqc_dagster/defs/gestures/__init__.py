"""Which gesture does a sensor feel? Torch, sequences."""
