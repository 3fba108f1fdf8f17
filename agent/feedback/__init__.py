"""Ratings and corrections: the store, and its copy on the hub."""
