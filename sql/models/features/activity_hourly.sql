MODEL (
  name features.activity_hourly,
  kind FULL,
  grain (source, hour),
  description 'Interactions of each hour, UTC.',
  columns (
    source TEXT,
    hour TIMESTAMPTZ,
    num_interactions BIGINT,
    num_students BIGINT,
    num_correct BIGINT
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    hour = 'Start of the hour, UTC.',
    num_interactions = 'Interactions answered in the hour.',
    num_students = 'Students with an interaction in the hour.',
    num_correct = 'Right answers in the hour.'
  ),
  audits (
    unique_combination_of_columns(columns := (source, hour)),
    not_null(columns := (source, hour, num_interactions)),
    accepted_range(column := num_interactions, min_v := 1)
  )
);

SELECT
  source,
  DATE_TRUNC('HOUR', answered_at) AS hour,
  COUNT(*) AS num_interactions,
  COUNT(DISTINCT student_key) AS num_students,
  SUM(CASE WHEN is_correct THEN 1 ELSE 0 END) AS num_correct
FROM core.interactions
WHERE answered_at IS NOT NULL
GROUP BY source, DATE_TRUNC('HOUR', answered_at)
