"""The page: draws the agent's events in Gradio; owns no behaviour."""
