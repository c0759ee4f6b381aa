"""Bills LiteLLM proxy usage through Lago: what Lago counts equals what the spend table says."""

__version__ = "0.1.0"
