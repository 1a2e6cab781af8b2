"""Care for a store: check, back up, restore, move, collect garbage."""
