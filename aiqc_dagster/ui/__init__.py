"""What Dagster's pages show: metadata, figures, pictures."""
