"""From frames to the numbers that models take."""
