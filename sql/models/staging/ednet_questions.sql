MODEL (
  name staging.ednet_questions,
  kind VIEW,
  grain (item_id),
  description 'EdNet questions, one row a question; -1 is null.',
  columns (
    item_id TEXT,
    bundle_id TEXT,
    explanation_id TEXT,
    correct_answer TEXT,
    part INT,
    tags TEXT,
    deployed_at TIMESTAMPTZ
  ),
  column_descriptions (
    item_id = 'Published question id. Source: questions question_id.',
    bundle_id = 'Published bundle id. Source: questions bundle_id.',
    explanation_id = 'Published explanation id. Source: questions explanation_id.',
    correct_answer = 'Right choice a-d. Source: questions correct_answer.',
    part = 'TOEIC part 1-7. Source: questions part.',
    tags = 'Semicolon list of knowledge components, null where unknown. Source: questions tags.',
    deployed_at = 'When put into the app, UTC, null where unknown; not the first use. Source: questions deployed_at.'
  ),
  audits (
    unique_values(columns := (item_id)),
    not_null(columns := (item_id, bundle_id))
  )
);

SELECT
  question_id AS item_id,
  bundle_id,
  explanation_id,
  NULLIF(TRIM(correct_answer), '') AS correct_answer,
  NULLIF(part, -1) AS part,
  NULLIF(NULLIF(TRIM(tags), '-1'), '') AS tags,
  @from_milliseconds(NULLIF(deployed_at, -1)) AS deployed_at
FROM raw.ednet_questions
