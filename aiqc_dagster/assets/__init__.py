"""Assets and their checks and partitions."""
