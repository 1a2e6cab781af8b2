"""Functions of the user's: captured, identified, shown as source."""
