"""Everything that touches torch: one base in memory, adapters attached per request."""
