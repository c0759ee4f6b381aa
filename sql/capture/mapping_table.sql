-- mapping_table: where the operator's CSV file waits to be joined. Filled by COPY, a customer once.
CREATE TEMP TABLE mapping (customer text, subscription text) ON COMMIT DROP
