"""Work on arrays: read, preprocess, split, train, evaluate, plot. No stage knows a row."""
