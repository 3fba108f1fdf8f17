"""The command `patchbay`. Other programs ask it over its API (docs/api.md), not by an import."""
