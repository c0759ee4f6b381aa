-- waits: whether a batch waits behind others: an earlier revision of one of its buckets is planned or in conflict. Then it
-- does not go. A fragment of take.sql and due_in.sql, of a row of reconciler.batch.
(behind
 AND EXISTS (SELECT FROM reconciler.event
                  JOIN reconciler.event AS earlier USING (meter, window_start, bucket)
                  JOIN reconciler.batch AS other ON other.id = earlier.batch
             WHERE event.batch = batch.id
               AND other.id <> batch.id
               AND earlier.revision < event.revision
               AND (other.state = 'planned' OR other.conflict)))
