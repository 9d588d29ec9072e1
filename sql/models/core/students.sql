MODEL (
  name core.students,
  kind FULL,
  grain (source, student_id),
  description 'One row a student on any level of any source, with the part of the split that the student is wholly in. Students of tutors come first, so that their keys are known before their steps are counted.',
  columns (
    student_key INT,
    source TEXT,
    student_id TEXT,
    split TEXT,
    num_interactions BIGINT,
    first_answered_at TIMESTAMPTZ,
    last_answered_at TIMESTAMPTZ
  ),
  column_descriptions (
    student_key = 'Dense number of the student, from 1, unique over sources.',
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop, mathia or clicks.',
    student_id = 'Published student id.',
    split = 'train, valid or test: as the source file says (ASSISTments only), else by a hash of the student id.',
    num_interactions = 'Interactions of the student in core.interactions; 0 for students known from actions or clicks only.',
    first_answered_at = 'First answer, UTC (tutors: local clock as if UTC); null without dated answers.',
    last_answered_at = 'Last answer, UTC (tutors: local clock as if UTC); null without dated answers.'
  ),
  audits (
    unique_values(columns := (student_key)),
    unique_combination_of_columns(columns := (source, student_id)),
    not_null(columns := (student_key, source, student_id, split, num_interactions)),
    accepted_values(column := split, is_in := ('train', 'valid', 'test'))
  )
);

WITH seen AS (
  SELECT
    'ednet' AS source,
    student_id,
    CAST(NULL AS TEXT) AS split,
    COUNT(*) AS num_interactions,
    MIN(answered_milliseconds) AS first_milliseconds,
    MAX(answered_milliseconds) AS last_milliseconds
  FROM staging.ednet_answers
  GROUP BY student_id
  UNION ALL
  SELECT DISTINCT
    'ednet' AS source,
    student_id,
    CAST(NULL AS TEXT) AS split,
    0 AS num_interactions,
    CAST(NULL AS BIGINT) AS first_milliseconds,
    CAST(NULL AS BIGINT) AS last_milliseconds
  FROM staging.ednet_actions
  UNION ALL
  SELECT DISTINCT
    'clicks' AS source,
    student_id,
    CAST(NULL AS TEXT) AS split,
    0 AS num_interactions,
    CAST(NULL AS BIGINT) AS first_milliseconds,
    CAST(NULL AS BIGINT) AS last_milliseconds
  FROM staging.clicks_behaviors
  UNION ALL
  SELECT
    source,
    student_id,
    MIN(split) AS split,
    MAX(interaction_number) AS num_interactions,
    CAST(NULL AS BIGINT) AS first_milliseconds,
    CAST(NULL AS BIGINT) AS last_milliseconds
  FROM core.answer_rows
  GROUP BY source, student_id
), of_tutors AS (
  SELECT
    student_key,
    COUNT(*) AS num_interactions,
    MIN(started_at) AS first_answered_at,
    MAX(started_at) AS last_answered_at
  FROM core.steps
  GROUP BY student_key
), students AS (
  SELECT
    tutors.student_key AS tutor_key,
    tutors.source,
    tutors.student_id,
    CAST(NULL AS TEXT) AS named_split,
    @hash_share(tutors.student_id, @split_salt) AS share,
    COALESCE(of_tutors.num_interactions, 0) AS num_interactions,
    of_tutors.first_answered_at,
    of_tutors.last_answered_at
  FROM core.tutor_students AS tutors
  LEFT JOIN of_tutors ON tutors.student_key = of_tutors.student_key
  UNION ALL
  SELECT
    CAST(NULL AS BIGINT) AS tutor_key,
    source,
    student_id,
    MIN(split) AS named_split,
    @hash_share(student_id, @split_salt) AS share,
    SUM(num_interactions) AS num_interactions,
    @from_milliseconds(MIN(first_milliseconds)) AS first_answered_at,
    @from_milliseconds(MAX(last_milliseconds)) AS last_answered_at
  FROM seen
  GROUP BY source, student_id
)
SELECT
  ROW_NUMBER() OVER (ORDER BY tutor_key NULLS LAST, source, LENGTH(student_id), student_id) AS student_key,
  source,
  student_id,
  COALESCE(
    named_split,
    CASE WHEN share < @split_test THEN 'test' WHEN share < @split_test + @split_valid THEN 'valid' ELSE 'train' END
  ) AS split,
  num_interactions,
  first_answered_at,
  last_answered_at
FROM students
ORDER BY student_key
