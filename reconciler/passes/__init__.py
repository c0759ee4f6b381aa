"""One run over all meters."""
