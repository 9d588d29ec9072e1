MODEL (
  name core.sessions,
  kind FULL,
  grain (session_id),
  description 'One row a sitting of a student: answers with no longer pause between them than the idle time of the settings.',
  columns (
    source TEXT,
    session_id BIGINT,
    student_key INT,
    student_id TEXT,
    started_at TIMESTAMPTZ,
    ended_at TIMESTAMPTZ,
    duration_seconds DOUBLE,
    num_interactions BIGINT,
    num_bundle_visits BIGINT,
    num_correct BIGINT
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    session_id = 'Sitting: student_key times 1,000,000 plus the number of the sitting.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    student_id = 'Published student id.',
    started_at = 'Estimated display of the first item, or its answer where that is unknown, UTC; tutors: local clock as if UTC.',
    ended_at = 'Last answer, UTC; tutors: local clock as if UTC.',
    duration_seconds = 'Seconds from started_at to ended_at.',
    num_interactions = 'Interactions in the sitting.',
    num_bundle_visits = 'Bundles delivered in the sitting.',
    num_correct = 'Right answers.'
  ),
  audits (
    unique_values(columns := (session_id)),
    not_null(columns := (session_id, student_key, started_at, ended_at)),
    accepted_range(column := duration_seconds, min_v := 0)
  )
);

SELECT
  source,
  session_id,
  student_key,
  MIN(student_id) AS student_id,
  MIN(COALESCE(displayed_at, answered_at)) AS started_at,
  MAX(answered_at) AS ended_at,
  @seconds_between(MIN(COALESCE(displayed_at, answered_at)), MAX(answered_at)) AS duration_seconds,
  COUNT(*) AS num_interactions,
  COUNT(DISTINCT bundle_visit) AS num_bundle_visits,
  SUM(CASE WHEN is_correct THEN 1 ELSE 0 END) AS num_correct
FROM core.interactions
WHERE session_id IS NOT NULL
GROUP BY source, session_id, student_key
