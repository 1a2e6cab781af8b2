"""Processes that stay warm and run one call after another."""
