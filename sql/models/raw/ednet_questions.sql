MODEL (
  name raw.ednet_questions,
  kind VIEW,
  grain (question_id),
  description 'EdNet questions as ingested, one row a question: a view over the Parquet shards that the manifest lists.',
  columns (
    source_row INT,
    question_id TEXT,
    bundle_id TEXT,
    explanation_id TEXT,
    correct_answer TEXT,
    part INT,
    tags TEXT,
    deployed_at BIGINT
  ),
  column_descriptions (
    source_row = 'Data row in its file or member, from 1. Source: EdNet questions.',
    question_id = 'Published question id. Source: EdNet questions.',
    bundle_id = 'Published bundle id. Source: EdNet questions.',
    explanation_id = 'Published explanation id. Source: EdNet questions.',
    correct_answer = 'Right choice a-d. Source: EdNet questions.',
    part = 'TOEIC part; -1 is unknown. Source: EdNet questions.',
    tags = 'Semicolon list of knowledge components; -1 is unknown. Source: EdNet questions.',
    deployed_at = 'Milliseconds since 1970 of publication in the app; -1 is unknown. Source: EdNet questions.'
  ),
  audits (
    not_null(columns := (question_id, source_row))
  )
);

SELECT
  source_row,
  question_id,
  bundle_id,
  explanation_id,
  correct_answer,
  part,
  tags,
  deployed_at
FROM @raw(@ednet_questions)
