"""Metrics tables, leaderboards and figures of trained models."""
