"""Definitions from declarations; a faulty one is shown by itself."""
