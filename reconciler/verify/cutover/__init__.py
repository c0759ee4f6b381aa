"""Cut-over from LiteLLM's own `lago` callback: what it has billed is matched with rows, and taken over."""
