-- analyze: lets Postgres know how much the temp tables of a cut-over hold, so that it joins them as it should.
ANALYZE pg_temp.requests, pg_temp.counted, pg_temp.matched
