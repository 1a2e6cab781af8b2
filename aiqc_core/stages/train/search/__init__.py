"""Which combinations are trained: grid, random, TPE, pruning."""
