"""Answer one request: route it, plan it, run each step, yield events."""
