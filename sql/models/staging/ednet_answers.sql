MODEL (
  name staging.ednet_answers,
  kind VIEW,
  grain (student_id, source_row),
  description 'EdNet KT1, one row an answered question, with names and units of this warehouse.',
  columns (
    student_id TEXT,
    source_row INT,
    answered_milliseconds BIGINT,
    answered_at TIMESTAMPTZ,
    bundle_visit INT,
    item_id TEXT,
    user_answer TEXT,
    elapsed_milliseconds BIGINT
  ),
  column_descriptions (
    student_id = 'Published student id. Source: name of the archive member.',
    source_row = 'Data row in the source file, from 1.',
    answered_milliseconds = 'When answered, milliseconds since 1970, shifted. Source: KT1 timestamp (close to the answer, not to the display).',
    answered_at = 'When answered, UTC, shifted. Source: KT1 timestamp.',
    bundle_visit = 'Counter of delivered bundles of the student. Source: KT1 solving_id.',
    item_id = 'Published question id. Source: KT1 question_id.',
    user_answer = 'Submitted choice a-d; null where the student gave none. Source: KT1 user_answer.',
    elapsed_milliseconds = 'Milliseconds a question: time on the bundle divided by its number of questions. Source: KT1 elapsed_time.'
  ),
  audits (
    not_null(columns := (student_id, source_row, answered_at, item_id)),
    accepted_range(column := elapsed_milliseconds, min_v := 0)
  )
);

SELECT
  student_id,
  source_row,
  timestamp AS answered_milliseconds,
  @from_milliseconds(timestamp) AS answered_at,
  solving_id AS bundle_visit,
  question_id AS item_id,
  NULLIF(TRIM(user_answer), '') AS user_answer,
  elapsed_time AS elapsed_milliseconds
FROM raw.ednet_kt1
