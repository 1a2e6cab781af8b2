"""From sample counts, strata and seeds to positions."""
