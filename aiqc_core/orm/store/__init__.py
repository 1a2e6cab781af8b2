"""The metastore: its databases, fields, blobs and the base of its tables."""
