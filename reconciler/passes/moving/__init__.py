"""Usage that was billed to the wrong subscription: shown to a person, and moved as it was shown."""
