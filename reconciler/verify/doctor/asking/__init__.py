"""The doctor's questions to the spend table, the ledger and Lago: they write nothing, and none takes long."""
