"""Verification: does Lago count exactly what was used? Four legs, from the proxy's own tables to Lago's bill."""
