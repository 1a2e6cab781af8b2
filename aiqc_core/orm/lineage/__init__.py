"""What made a model: trace, diff, verify, reproduce."""
