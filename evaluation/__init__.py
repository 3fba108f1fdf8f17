"""Adapter -> evidence: how good, whether better, and whether requests are routed right."""
