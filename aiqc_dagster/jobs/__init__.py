"""Jobs and their ops."""
