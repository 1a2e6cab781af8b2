"""The tables: their columns and keys, and how they are migrated."""
