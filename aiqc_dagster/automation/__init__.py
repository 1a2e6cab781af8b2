"""Schedules, sensors and notifications."""
