"""A Llama-like decoder as compiled functions."""
