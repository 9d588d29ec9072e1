MODEL (
  name core.behavior_checks,
  kind FULL,
  grain (check_name, source, relation),
  description 'The part of the account that is about behaviors: every row of every log is one, and what the published logs cannot show.',
  columns (
    check_name TEXT,
    source TEXT,
    relation TEXT,
    observed BIGINT,
    expected BIGINT,
    severity TEXT,
    detail TEXT
  ),
  column_descriptions (
    check_name = 'What is checked.',
    source = 'Source of the rows: ednet, assistments, kddcup, datashop, mathia or clicks.',
    relation = 'Log that is looked at: answers, visits, problems or clicks.',
    observed = 'Count that was found.',
    expected = 'Count that was expected; null where the check only tells a number.',
    severity = 'error stops the build, warning is a finding about the data, info is a number to know.',
    detail = 'The rule in words.'
  ),
  audits (
    unique_combination_of_columns(columns := (check_name, source, relation)),
    not_null(columns := (check_name, source, relation, severity)),
    accepted_values(column := severity, is_in := ('error', 'warning', 'info'))
  )
);

WITH found AS (
  SELECT
    source,
    log_name,
    COUNT(*) AS num_behaviors,
    SUM(CASE WHEN meeting_number > 1 THEN 1 ELSE 0 END) AS num_repeats,
    SUM(CASE WHEN acted_at IS NULL THEN 1 ELSE 0 END) AS num_untimed
  FROM core.behaviors
  GROUP BY source, log_name
), wanted AS (
  SELECT source, 'answers' AS log_name, COUNT(*) AS num_rows
  FROM core.interactions
  WHERE source IN ('ednet', 'assistments')
  GROUP BY source
  UNION ALL
  SELECT source, 'visits' AS log_name, COUNT(*) AS num_rows FROM core.contexts GROUP BY source
  UNION ALL
  SELECT source, 'problems' AS log_name, COUNT(*) AS num_rows FROM core.problem_attempts GROUP BY source
  UNION ALL
  SELECT 'clicks' AS source, 'clicks' AS log_name, COUNT(*) AS num_rows FROM staging.clicks_behaviors HAVING COUNT(*) > 0
), visits AS (
  SELECT
    visits.source,
    visits.context_type,
    visits.is_closed,
    visits.duration_seconds IS NOT NULL AND lectures.video_seconds IS NOT NULL AS is_measured
  FROM core.contexts AS visits
  LEFT JOIN core.lectures AS lectures ON visits.source = lectures.source AND visits.item_id = lectures.lecture_id
), repeats AS (
  SELECT COUNT(*) AS num_rows
  FROM core.clicks
  GROUP BY student_key, catalog_key, acted_at, outcome
  HAVING COUNT(*) > 1
)
SELECT
  'behaviors_accounted' AS check_name,
  wanted.source,
  wanted.log_name AS relation,
  COALESCE(found.num_behaviors, 0) AS observed,
  wanted.num_rows AS expected,
  'error' AS severity,
  'every interaction, visit, attempt at a problem and click is one behavior' AS detail
FROM wanted
LEFT JOIN found ON wanted.source = found.source AND wanted.log_name = found.log_name
UNION ALL
SELECT
  'behaviors_repeated' AS check_name,
  source,
  log_name AS relation,
  num_repeats AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'behaviors on a thing that the student had met before: history, never what a recommendation is trained to find' AS detail
FROM found
UNION ALL
SELECT
  'behaviors_without_time' AS check_name,
  source,
  log_name AS relation,
  num_untimed AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'behaviors whose place in the order is all that is known' AS detail
FROM found
UNION ALL
SELECT
  'exact_duplicates' AS check_name,
  'clicks' AS source,
  'clicks' AS relation,
  COALESCE(SUM(repeats.num_rows - 1), 0) AS observed,
  0 AS expected,
  'warning' AS severity,
  'clicks that repeat student, item, time and outcome of another' AS detail
FROM repeats
HAVING COUNT(*) > 0
UNION ALL
SELECT
  'bundles_left_unfinished' AS check_name,
  source,
  'visits' AS relation,
  SUM(CASE WHEN is_closed THEN 0 ELSE 1 END) AS observed,
  CAST(NULL AS BIGINT) AS expected,
  'info' AS severity,
  'bundles entered and not submitted: the publisher took such visits out, so that near none is left and nobody can learn from these logs who gives up' AS detail
FROM visits
WHERE context_type = 'bundle'
GROUP BY source
UNION ALL
SELECT
  'lectures_measured' AS check_name,
  source,
  'visits' AS relation,
  SUM(CASE WHEN is_measured THEN 1 ELSE 0 END) AS observed,
  COUNT(*) AS expected,
  'info' AS severity,
  'visits to lectures whose length is published: whether the others were watched is not known' AS detail
FROM visits
WHERE context_type = 'lecture'
GROUP BY source
