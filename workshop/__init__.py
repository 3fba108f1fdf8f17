"""The loop from answers to better adapters: review, and what trains, judges and watches by it."""
