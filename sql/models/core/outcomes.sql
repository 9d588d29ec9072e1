MODEL (
  name core.outcomes,
  kind FULL,
  grain (source, log_name, outcome),
  description 'One row a word for what came of a behavior, with a number for it.',
  columns (
    outcome_key INT,
    source TEXT,
    log_name TEXT,
    outcome TEXT,
    num_behaviors BIGINT
  ),
  column_descriptions (
    outcome_key = 'Dense number of the outcome, from 1; 0 stands for none in lists.',
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop, mathia or clicks.',
    log_name = 'What the behaviors are: answers, visits, problems or clicks.',
    outcome = 'The word, as in core.behaviors.',
    num_behaviors = 'Behaviors with it.'
  ),
  audits (
    unique_values(columns := (outcome_key)),
    unique_combination_of_columns(columns := (source, log_name, outcome)),
    not_null(columns := (outcome_key, source, log_name, outcome)),
    accepted_range(column := num_behaviors, min_v := 1)
  )
);

WITH counted AS (
  SELECT source, log_name, outcome, COUNT(*) AS num_behaviors
  FROM core.behaviors
  WHERE outcome IS NOT NULL
  GROUP BY source, log_name, outcome
)
SELECT
  ROW_NUMBER() OVER (ORDER BY source, log_name, outcome) AS outcome_key,
  source,
  log_name,
  outcome,
  num_behaviors
FROM counted
ORDER BY outcome_key
