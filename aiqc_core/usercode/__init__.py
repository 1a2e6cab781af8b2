"""Code of users: which is theirs, what identifies it, and how it goes elsewhere by value."""
