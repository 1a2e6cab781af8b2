"""From predictions to numbers that people can trust."""
