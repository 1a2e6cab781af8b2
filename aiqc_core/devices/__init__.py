"""Accelerators of this machine, and the slots that processes lease."""
