"""The same agent for programs: OpenAI-compatible routes, health, metrics."""
