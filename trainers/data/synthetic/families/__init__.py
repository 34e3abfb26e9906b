"""Families of synthetic samples, one file for each group."""
