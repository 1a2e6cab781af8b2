"""Samples of a Splitset: cut, preprocessed, cached."""
