AUDIT (
  name same_total,
  dialect duckdb
);

/* An aggregate of this model equals an aggregate of another: no row lost, none made. */
SELECT found.total, wanted.total AS expected
FROM (SELECT COALESCE(@here, 0) AS total FROM @this_model) AS found
CROSS JOIN (SELECT COALESCE(@there, 0) AS total FROM @relation) AS wanted
WHERE found.total <> wanted.total
