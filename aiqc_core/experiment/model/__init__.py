"""The declared value: Experiment, Pipeline, Training and their parts."""
