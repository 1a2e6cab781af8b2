"""The declared experiments, a package each."""
