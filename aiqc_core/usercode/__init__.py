"""Code of users: which is theirs, what identifies it, and how it is pickled by value."""
