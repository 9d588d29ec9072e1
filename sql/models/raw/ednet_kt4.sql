MODEL (
  name raw.ednet_kt4,
  kind VIEW,
  grain (student_id, source_row),
  description 'EdNet kt4 as ingested, one row an action, media and purchases too: a view over the Parquet shards that the manifest lists.',
  columns (
    student_id TEXT,
    source_row INT,
    timestamp BIGINT,
    action_type TEXT,
    item_id TEXT,
    source TEXT,
    user_answer TEXT,
    platform TEXT,
    cursor_time BIGINT
  ),
  column_descriptions (
    student_id = 'Published student id; on EdNet from the member name. Source: EdNet kt4.',
    source_row = 'Data row in its file or member, from 1. Source: EdNet kt4.',
    timestamp = 'Milliseconds since 1970, shifted, as published. Source: EdNet kt4.',
    action_type = 'Kind of action, as published. Source: EdNet kt4.',
    item_id = 'Id of a question, bundle, explanation, lecture, payment item or coupon. Source: EdNet kt4.',
    source = 'Where in the app the action happened, as published. Source: EdNet kt4.',
    user_answer = 'Submitted choice a-d; empty means no answer. Source: EdNet kt4.',
    platform = 'mobile or web, as published. Source: EdNet kt4.',
    cursor_time = 'Media position in milliseconds, as published. Source: EdNet kt4.'
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
  platform,
  cursor_time
FROM @raw(@ednet_kt4)
