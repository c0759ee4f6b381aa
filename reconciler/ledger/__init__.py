"""The ledger: the reconciler's own schema `reconciler`, the only thing that it writes in a database."""
