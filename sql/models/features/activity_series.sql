MODEL (
  name features.activity_series,
  kind FULL,
  grain (source, grain, series_id, started_at),
  description 'Activity of each hour and day as series, of a source and of its parts. Periods in which nobody answered have no row.',
  columns (
    source TEXT,
    grain TEXT,
    grouped_by TEXT,
    series_id TEXT,
    started_at TIMESTAMPTZ,
    num_interactions BIGINT,
    num_students BIGINT,
    num_scored BIGINT,
    num_correct BIGINT
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    grain = 'Length of the period: hour or day.',
    grouped_by = 'What the series is of: total, the whole source; part, one TOEIC part of it.',
    series_id = 'Name of the series: the source and `total`, or the source and the part.',
    started_at = 'Start of the period, UTC; days begin at midnight of the clock that is `warehouse.clock_offset_hours` ahead of UTC.',
    num_interactions = 'Interactions answered in the period.',
    num_students = 'Students with an interaction in the period; of several series of one period they do not add up.',
    num_scored = 'Interactions of the period that are right or wrong.',
    num_correct = 'Right answers in the period.'
  ),
  audits (
    unique_combination_of_columns(columns := (source, grain, series_id, started_at)),
    not_null(columns := (source, grain, grouped_by, series_id, started_at, num_interactions, num_students, num_scored, num_correct)),
    accepted_values(column := grain, is_in := ('hour', 'day')),
    accepted_values(column := grouped_by, is_in := ('total', 'part')),
    accepted_range(column := num_students, min_v := 1),
    forall(criteria := (num_students <= num_interactions, num_scored <= num_interactions, num_correct <= num_scored))
  )
);

-- Students first: what is counted after that is sittings, not answers.
WITH hours AS (
  SELECT
    source,
    student_key,
    part,
    CAST(FLOOR(@to_milliseconds(answered_at) / 3600000) AS BIGINT) * 3600000 AS hour_milliseconds,
    COUNT(*) AS num_interactions,
    SUM(CASE WHEN is_correct IS NULL THEN 0 ELSE 1 END) AS num_scored,
    SUM(CASE WHEN is_correct THEN 1 ELSE 0 END) AS num_correct
  FROM core.interactions
  WHERE answered_at IS NOT NULL
  GROUP BY source, student_key, part, CAST(FLOOR(@to_milliseconds(answered_at) / 3600000) AS BIGINT) * 3600000
), periods AS (
  SELECT
    'hour' AS grain,
    hours.*,
    hour_milliseconds AS started_milliseconds
  FROM hours
  UNION ALL
  SELECT
    'day' AS grain,
    hours.*,
    CAST(FLOOR((hour_milliseconds + @clock_offset_hours * 3600000) / 86400000) AS BIGINT) * 86400000 - @clock_offset_hours * 3600000 AS started_milliseconds
  FROM hours
)
SELECT
  source,
  grain,
  'total' AS grouped_by,
  source || '/total' AS series_id,
  @from_milliseconds(started_milliseconds) AS started_at,
  SUM(num_interactions) AS num_interactions,
  COUNT(DISTINCT student_key) AS num_students,
  SUM(num_scored) AS num_scored,
  SUM(num_correct) AS num_correct
FROM periods
GROUP BY source, grain, started_milliseconds
UNION ALL
SELECT
  source,
  grain,
  'part' AS grouped_by,
  source || '/part-' || CAST(part AS TEXT) AS series_id,
  @from_milliseconds(started_milliseconds) AS started_at,
  SUM(num_interactions) AS num_interactions,
  COUNT(DISTINCT student_key) AS num_students,
  SUM(num_scored) AS num_scored,
  SUM(num_correct) AS num_correct
FROM periods
WHERE part IS NOT NULL
GROUP BY source, grain, part, started_milliseconds
