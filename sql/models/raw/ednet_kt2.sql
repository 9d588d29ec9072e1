MODEL (
  name raw.ednet_kt2,
  kind VIEW,
  grain (student_id, source_row),
  description 'EdNet kt2 as ingested, one row an action, questions only: a view over the Parquet shards that the manifest lists.',
  columns (
    student_id TEXT,
    source_row INT,
    timestamp BIGINT,
    action_type TEXT,
    item_id TEXT,
    source TEXT,
    user_answer TEXT,
    platform TEXT
  ),
  column_descriptions (
    student_id = 'Published student id; on EdNet from the member name. Source: EdNet kt2.',
    source_row = 'Data row in its file or member, from 1. Source: EdNet kt2.',
    timestamp = 'Milliseconds since 1970, shifted, as published. Source: EdNet kt2.',
    action_type = 'Kind of action, as published. Source: EdNet kt2.',
    item_id = 'Id of a question, bundle, explanation, lecture, payment item or coupon. Source: EdNet kt2.',
    source = 'Where in the app the action happened, as published. Source: EdNet kt2.',
    user_answer = 'Submitted choice a-d; empty means no answer. Source: EdNet kt2.',
    platform = 'mobile or web, as published. Source: EdNet kt2.'
  ),
  audits (
    not_null(columns := (student_id, source_row))
  )
);

SELECT
  student_id,
  source_row,
  timestamp,
  action_type,
  item_id,
  source,
  user_answer,
  platform
FROM @raw(@ednet_kt2)
