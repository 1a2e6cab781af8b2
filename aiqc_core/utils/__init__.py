"""The public paths of the reference."""
