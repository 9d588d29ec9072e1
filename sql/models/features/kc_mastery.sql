MODEL (
  name features.kc_mastery,
  kind FULL,
  grain (student_key, kc_key),
  description 'Mastery of each student on each knowledge component after all answers: share of right answers in which an answer loses weight with every later opportunity.',
  columns (
    source TEXT,
    student_key INT,
    student_id TEXT,
    kc_key INT,
    kc_id TEXT,
    num_opportunities BIGINT,
    num_correct BIGINT,
    mastery DOUBLE,
    last_answered_at TIMESTAMPTZ
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    student_id = 'Published student id.',
    kc_key = 'Dense number of the knowledge component, from 1, unique over sources.',
    kc_id = 'Published knowledge component: EdNet tag as text, ASSISTments skill, KC of a tutor behind its data set.',
    num_opportunities = 'Answers on the component.',
    num_correct = 'Right answers.',
    mastery = 'Weighted share of right answers in [0, 1]; weights are mastery_decay to the number of later opportunities.',
    last_answered_at = 'Last answer on the component, UTC; null where the source has no times.'
  ),
  audits (
    unique_combination_of_columns(columns := (student_key, kc_key)),
    not_null(columns := (student_key, kc_key, mastery)),
    accepted_range(column := mastery, min_v := 0, max_v := 1),
    same_total(here := SUM(num_opportunities), relation := core.opportunities, there := COUNT(*))
  )
);

WITH weighted AS (
  SELECT
    student_key,
    kc_key,
    COUNT(*) AS num_opportunities,
    SUM(CASE WHEN is_correct THEN 1 ELSE 0 END) AS num_correct,
    SUM(CASE WHEN is_correct THEN POWER(@mastery_decay, opportunities_after) ELSE 0.0 END) AS right_weight,
    SUM(POWER(@mastery_decay, opportunities_after)) AS weight,
    MAX(answered_at) AS last_answered_at
  FROM core.opportunities
  GROUP BY student_key, kc_key
)
SELECT
  students.source,
  weighted.student_key,
  students.student_id,
  weighted.kc_key,
  kcs.kc_id,
  weighted.num_opportunities,
  weighted.num_correct,
  LEAST(weighted.right_weight / weighted.weight, 1.0) AS mastery,
  weighted.last_answered_at
FROM weighted
INNER JOIN core.students AS students ON weighted.student_key = students.student_key
INNER JOIN core.kcs AS kcs ON weighted.kc_key = kcs.kc_key
