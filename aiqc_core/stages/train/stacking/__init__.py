"""Many small models of one shape, trained in one pass."""
