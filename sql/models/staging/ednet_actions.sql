MODEL (
  name staging.ednet_actions,
  kind VIEW,
  grain (level, student_id, source_row),
  description 'EdNet KT2, KT3 and KT4 under each other, one row an action and level; lower levels repeat rows of higher ones.',
  columns (
    level TEXT,
    student_id TEXT,
    source_row INT,
    acted_milliseconds BIGINT,
    acted_at TIMESTAMPTZ,
    action_type TEXT,
    item_id TEXT,
    entry_point TEXT,
    user_answer TEXT,
    platform TEXT,
    cursor_milliseconds BIGINT
  ),
  column_descriptions (
    level = 'Level of the archive: kt2, kt3 or kt4.',
    student_id = 'Published student id. Source: name of the archive member.',
    source_row = 'Data row in the source file, from 1.',
    acted_milliseconds = 'When, milliseconds since 1970, shifted. Source: timestamp.',
    acted_at = 'When, UTC, shifted. Source: timestamp.',
    action_type = 'Kind of action. Source: action_type.',
    item_id = 'Published id with its prefix (q, b, e, l, p, c). Source: item_id.',
    entry_point = 'Where in the app. Source: source.',
    user_answer = 'Choice a-d of respond and erase actions. Source: user_answer.',
    platform = 'mobile or web; null on purchases. Source: platform.',
    cursor_milliseconds = 'Media position, milliseconds. Source: KT4 cursor_time.'
  ),
  audits (
    not_null(columns := (level, student_id, source_row, acted_at))
  )
);

SELECT
  'kt2' AS level,
  student_id,
  source_row,
  timestamp AS acted_milliseconds,
  @from_milliseconds(timestamp) AS acted_at,
  action_type,
  item_id,
  NULLIF(TRIM(source), '') AS entry_point,
  NULLIF(TRIM(user_answer), '') AS user_answer,
  NULLIF(TRIM(platform), '') AS platform,
  CAST(NULL AS BIGINT) AS cursor_milliseconds
FROM raw.ednet_kt2
UNION ALL
SELECT
  'kt3' AS level,
  student_id,
  source_row,
  timestamp AS acted_milliseconds,
  @from_milliseconds(timestamp) AS acted_at,
  action_type,
  item_id,
  NULLIF(TRIM(source), '') AS entry_point,
  NULLIF(TRIM(user_answer), '') AS user_answer,
  NULLIF(TRIM(platform), '') AS platform,
  CAST(NULL AS BIGINT) AS cursor_milliseconds
FROM raw.ednet_kt3
UNION ALL
SELECT
  'kt4' AS level,
  student_id,
  source_row,
  timestamp AS acted_milliseconds,
  @from_milliseconds(timestamp) AS acted_at,
  action_type,
  item_id,
  NULLIF(TRIM(source), '') AS entry_point,
  NULLIF(TRIM(user_answer), '') AS user_answer,
  NULLIF(TRIM(platform), '') AS platform,
  cursor_time AS cursor_milliseconds
FROM raw.ednet_kt4
