"""Arrays of samples and objects, on a disk or in a bucket."""
