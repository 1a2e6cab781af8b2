"""Stored models applied to new samples."""
