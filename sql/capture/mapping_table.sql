-- mapping_table: where the operator's CSV file waits to be joined. Filled by
--                COPY, or from the operator's table by mapping.sql; a customer once, as unclear.sql sees.
CREATE TEMP TABLE mapping (customer text, subscription text) ON COMMIT DROP
