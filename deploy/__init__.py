"""How Patchbay runs elsewhere."""
