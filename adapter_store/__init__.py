"""Adapters on disk: what each was trained for, which the chat uses. No torch."""
