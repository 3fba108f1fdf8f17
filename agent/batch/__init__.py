"""Whole tables: a task done with the text of every row."""
