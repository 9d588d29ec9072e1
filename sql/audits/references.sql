AUDIT (
  name references_relation,
  dialect duckdb
);

/* Every value of @column is found as @key of @relation. */
SELECT facts.@column
FROM @this_model AS facts
LEFT JOIN @relation AS targets
  ON facts.@column = targets.@key
WHERE facts.@column IS NOT NULL AND targets.@key IS NULL
LIMIT 10
