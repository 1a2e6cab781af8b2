"""What watches a training: checkpoints, cutoffs, memory, threads."""
