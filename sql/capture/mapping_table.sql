-- mapping_table: where the subscriptions of a chunk's customers wait to be joined, a customer once. Filled by COPY with
--                what the operator's CSV file says of customers.sql, or from the operator's table by mapping.sql.
CREATE TEMP TABLE mapping (customer text, subscription text) ON COMMIT DROP
