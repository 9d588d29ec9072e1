MODEL (
  name core.behaviors,
  kind VIEW,
  grain (log_name, student_key, behavior_number),
  description 'One row a behavior of any source, in the order of the student within its log: an answer, a visit to a bundle, explanation or lecture, an attempt at a problem, a click. New behaviors are added behind; none before them changes.',
  columns (
    source TEXT,
    log_name TEXT,
    student_key INT,
    behavior_number INT,
    catalog_key INT,
    visit_number INT,
    acted_at TIMESTAMPTZ,
    requested_at TIMESTAMPTZ,
    outcome TEXT,
    meeting_number INT,
    is_correct BOOLEAN,
    is_engaged BOOLEAN
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop, mathia or clicks.',
    log_name = 'What the behaviors are: answers, visits, problems or clicks. Logs of one source repeat each other and are never put together.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    behavior_number = 'Order of the behaviors of the student in the log, from 1: by time, then source row.',
    catalog_key = 'Dense number of the thing, from 1, unique over sources: core.catalog.',
    visit_number = 'Equal for neighboring behaviors that were asked for together, so that none of them was known to the others: a bundle visit of EdNet; else null.',
    acted_at = 'When: answered, entered, first action, clicked; UTC (tutors: local clock as if UTC); null without times.',
    requested_at = 'When the student was about to do it: the estimated display of an answer, else acted_at; null where unknown.',
    outcome = 'What came of it: correct, incorrect, unanswered; finished, unfinished, read, watched, left; of clicks as published; null where unknown.',
    meeting_number = 'Time the student meets the thing in this log, from 1.',
    is_correct = 'Right or wrong; of a problem of a tutor: every scored step right at the first attempt; null where unknown and in logs without answers.',
    is_engaged = 'Visits: a bundle submitted, or a lecture kept open for the share warehouse.watched_share of its length; null for explanations, lectures of unknown length and other logs.'
  ),
  audits (
    not_null(columns := (source, log_name, student_key, behavior_number, catalog_key, meeting_number)),
    accepted_values(column := log_name, is_in := ('answers', 'visits', 'problems', 'clicks'))
  )
);

SELECT
  interactions.source,
  'answers' AS log_name,
  interactions.student_key,
  interactions.interaction_number AS behavior_number,
  catalog.catalog_key,
  CASE WHEN interactions.source = 'ednet' THEN interactions.bundle_visit END AS visit_number,
  interactions.answered_at AS acted_at,
  COALESCE(interactions.displayed_at, interactions.answered_at) AS requested_at,
  CASE WHEN interactions.is_correct THEN 'correct' WHEN NOT interactions.is_correct THEN 'incorrect' WHEN NOT interactions.is_answered THEN 'unanswered' END AS outcome,
  interactions.attempt_number AS meeting_number,
  interactions.is_correct,
  CAST(NULL AS BOOLEAN) AS is_engaged
FROM core.interactions AS interactions
INNER JOIN core.catalog AS catalog
  ON catalog.log_name = 'answers'
  AND interactions.source = catalog.source
  AND interactions.item_id = catalog.item_id
UNION ALL
SELECT
  visits.source,
  'visits' AS log_name,
  visits.student_key,
  visits.context_number AS behavior_number,
  catalog.catalog_key,
  CAST(NULL AS INT) AS visit_number,
  visits.entered_at AS acted_at,
  visits.entered_at AS requested_at,
  CASE
    WHEN visits.context_type = 'explanation' THEN 'read'
    WHEN visits.context_type = 'bundle' THEN CASE WHEN visits.is_closed THEN 'finished' ELSE 'unfinished' END
    WHEN visits.duration_seconds >= @watched_share * lectures.video_seconds THEN 'watched'
    WHEN visits.duration_seconds < @watched_share * lectures.video_seconds THEN 'left'
  END AS outcome,
  ROW_NUMBER() OVER (PARTITION BY visits.student_key, visits.item_id ORDER BY visits.context_number) AS meeting_number,
  CAST(NULL AS BOOLEAN) AS is_correct,
  CASE
    WHEN visits.context_type = 'bundle' THEN visits.is_closed
    WHEN visits.context_type = 'lecture' THEN visits.duration_seconds >= @watched_share * lectures.video_seconds
  END AS is_engaged
FROM core.contexts AS visits
INNER JOIN core.catalog AS catalog
  ON catalog.log_name = 'visits'
  AND visits.source = catalog.source
  AND visits.item_id = catalog.item_id
LEFT JOIN core.lectures AS lectures
  ON visits.source = lectures.source
  AND visits.item_id = lectures.lecture_id
UNION ALL
SELECT
  attempts.source,
  'problems' AS log_name,
  attempts.student_key,
  attempts.attempt_number AS behavior_number,
  catalog.catalog_key,
  CAST(NULL AS INT) AS visit_number,
  attempts.started_at AS acted_at,
  attempts.started_at AS requested_at,
  CASE WHEN attempts.num_scored = 0 THEN NULL WHEN attempts.num_correct = attempts.num_scored THEN 'correct' ELSE 'incorrect' END AS outcome,
  ROW_NUMBER() OVER (PARTITION BY attempts.student_key, catalog.catalog_key ORDER BY attempts.attempt_number) AS meeting_number,
  CASE WHEN attempts.num_scored > 0 THEN attempts.num_correct = attempts.num_scored END AS is_correct,
  CAST(NULL AS BOOLEAN) AS is_engaged
FROM core.problem_attempts AS attempts
INNER JOIN core.catalog AS catalog
  ON catalog.log_name = 'problems'
  AND attempts.source = catalog.source
  AND attempts.problem_id = catalog.item_id
UNION ALL
SELECT
  source,
  'clicks' AS log_name,
  student_key,
  behavior_number,
  catalog_key,
  CAST(NULL AS INT) AS visit_number,
  acted_at,
  acted_at AS requested_at,
  outcome,
  meeting_number,
  CAST(NULL AS BOOLEAN) AS is_correct,
  CAST(NULL AS BOOLEAN) AS is_engaged
FROM core.clicks
