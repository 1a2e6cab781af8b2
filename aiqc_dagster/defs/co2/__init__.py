"""How will carbon dioxide go on? Torch, windows of a series with gaps."""
