"""Measurements beside other tools, and of speed."""
