"""Turn rows into a LoRA adapter: check, train, search, export."""
