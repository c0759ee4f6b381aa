"""A whole installation on one machine: a private Postgres, LiteLLM's real schema, plausible traffic."""
