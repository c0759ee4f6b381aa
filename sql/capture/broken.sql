-- broken: whether the names of a bucket are no UTF-8. Only a database of encoding SQL_ASCII holds such text.
--
-- Reads   bucket, as totals.sql has it. The blank keeps the end of one name from completing the other.
-- Returns a condition: well-formed are bytes of the Unicode standard's table 3-7, here in hex.
encode(convert_to(customer || ' ' || model, 'SQL_ASCII'), 'hex') !~ (
    '^(?:[0-7].|(?:c[2-9a-f]|d.)[89ab].|e0[ab].[89ab].|(?:e[1-9abcef]|ed(?=[89]))[89ab].[89ab].'
    || '|f0[9ab].(?:[89ab].){{2}}|f[1-3](?:[89ab].){{3}}|f48.(?:[89ab].){{2}})*$')
