"""From sources to frames and their content hash."""
