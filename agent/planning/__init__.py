"""A request and its conversation -> a plan: ordered steps with slots and content."""
