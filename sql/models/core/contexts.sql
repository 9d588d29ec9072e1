MODEL (
  name core.contexts,
  kind FULL,
  grain (student_key, context_number),
  description 'One row a visit to a bundle, an explanation or a lecture, from its enter to its submit or quit; a tolerant reading that keeps and counts what does not fit.',
  columns (
    source TEXT,
    student_key INT,
    student_id TEXT,
    context_number INT,
    level TEXT,
    context_type TEXT,
    item_id TEXT,
    bundle_id TEXT,
    entry_point TEXT,
    platform TEXT,
    entered_at TIMESTAMPTZ,
    left_at TIMESTAMPTZ,
    duration_seconds DOUBLE,
    is_closed BOOLEAN,
    num_actions BIGINT,
    num_responses BIGINT,
    num_violations BIGINT
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    student_id = 'Published student id.',
    context_number = 'Visit to a bundle, explanation or lecture: the student''s enter actions counted, from 1.',
    level = 'Archive the row comes from: the highest of kt2, kt3, kt4 present for the student.',
    context_type = 'bundle, explanation or lecture, by the prefix of the item; else unknown.',
    item_id = 'Published id of what was entered (b…, e… or l…).',
    bundle_id = 'Published bundle of the item, or the problem of a tutor''s step; null where the source has none.',
    entry_point = 'Where in the app it was entered.',
    platform = 'mobile or web.',
    entered_at = 'When entered, UTC.',
    left_at = 'When submitted or quit, UTC; null where it was never closed.',
    duration_seconds = 'Seconds from entered_at to left_at.',
    is_closed = 'False where the next context starts without a submit or quit of this one.',
    num_actions = 'Actions inside, enter and close counted.',
    num_responses = 'respond actions inside, changes of mind counted.',
    num_violations = 'Actions inside that do not fit this context.'
  ),
  audits (
    unique_combination_of_columns(columns := (student_key, context_number)),
    not_null(columns := (student_key, context_number, entered_at, is_closed)),
    accepted_values(column := context_type, is_in := ('bundle', 'explanation', 'lecture', 'unknown')),
    accepted_range(column := duration_seconds, min_v := 0),
    same_total(here := COUNT(*), relation := core.actions, there := SUM(CASE WHEN action_type = 'enter' THEN 1 ELSE 0 END))
  )
);

WITH visits AS (
  SELECT
    source,
    student_key,
    MIN(student_id) AS student_id,
    context_number,
    MIN(level) AS level,
    MIN(CASE WHEN action_type = 'enter' THEN item_id END) AS item_id,
    MIN(CASE WHEN action_type = 'enter' THEN bundle_id END) AS bundle_id,
    MIN(CASE WHEN action_type = 'enter' THEN entry_point END) AS entry_point,
    MIN(CASE WHEN action_type = 'enter' THEN platform END) AS platform,
    MIN(CASE WHEN action_type = 'enter' THEN acted_at END) AS entered_at,
    MIN(CASE WHEN is_closing THEN acted_at END) AS left_at,
    COUNT(*) AS num_actions,
    SUM(CASE WHEN action_type = 'respond' THEN 1 ELSE 0 END) AS num_responses,
    SUM(CASE WHEN NOT violation IS NULL THEN 1 ELSE 0 END) AS num_violations
  FROM core.actions
  WHERE context_number IS NOT NULL
  GROUP BY source, student_key, context_number
)
SELECT
  source,
  student_key,
  student_id,
  context_number,
  level,
  CASE SUBSTR(item_id, 1, 1) WHEN 'b' THEN 'bundle' WHEN 'e' THEN 'explanation' WHEN 'l' THEN 'lecture' ELSE 'unknown' END AS context_type,
  item_id,
  bundle_id,
  entry_point,
  platform,
  entered_at,
  left_at,
  @seconds_between(entered_at, left_at) AS duration_seconds,
  left_at IS NOT NULL AS is_closed,
  num_actions,
  num_responses,
  num_violations
FROM visits
