"""From samples to models."""
