"""The families, a file for each group."""
