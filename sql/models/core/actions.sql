MODEL (
  name core.actions,
  kind FULL,
  grain (student_key, action_number),
  description 'One row a UI action of EdNet KT2 to KT4, each student on the highest level present, so that nothing is counted twice; with the context that was open.',
  columns (
    source TEXT,
    student_key INT,
    student_id TEXT,
    action_number INT,
    level TEXT,
    acted_at TIMESTAMPTZ,
    action_type TEXT,
    item_id TEXT,
    bundle_id TEXT,
    entry_point TEXT,
    user_answer TEXT,
    is_correct BOOLEAN,
    platform TEXT,
    cursor_seconds DOUBLE,
    is_duplicate BOOLEAN,
    context_number INT,
    is_closing BOOLEAN,
    violation TEXT,
    source_row INT
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    student_id = 'Published student id.',
    action_number = 'Order of the actions of the student by time and source row, from 1.',
    level = 'Archive the row comes from: the highest of kt2, kt3, kt4 present for the student.',
    acted_at = 'When, UTC, shifted.',
    action_type = 'enter, respond, submit, quit, play_audio, … as published.',
    item_id = 'Published id with its prefix: q question, b bundle, e explanation, l lecture, p payment item, c coupon.',
    bundle_id = 'Published bundle of the item, or the problem of a tutor''s step; null where the source has none.',
    entry_point = 'Where in the app: diagnosis, sprint, …; null on purchases.',
    user_answer = 'Choice a-d of respond and erase actions.',
    is_correct = 'Right or wrong, on respond actions; a change of mind is a row of its own.',
    platform = 'mobile or web; null on purchases.',
    cursor_seconds = 'Media position, seconds; KT4 only.',
    is_duplicate = 'True on an exact repetition of an earlier row of the source.',
    context_number = 'Visit to a bundle, explanation or lecture: the student''s enter actions counted, from 1; null outside any.',
    is_closing = 'True where the action closes its context: submit of the bundle, quit of the explanation or lecture.',
    violation = 'outside_context, wrong_context or unknown_action where the action does not fit the open context; else null.',
    source_row = 'Data row of the student in the source, from 1.'
  ),
  audits (
    unique_combination_of_columns(columns := (student_key, action_number)),
    not_null(columns := (source, student_key, action_number, level, acted_at, is_duplicate)),
    accepted_values(column := level, is_in := ('kt2', 'kt3', 'kt4'))
  )
);

WITH highest AS (
  SELECT student_id, MAX(level) AS level FROM staging.ednet_actions GROUP BY student_id
), chosen AS (
  SELECT
    students.student_key,
    actions.level,
    actions.acted_milliseconds,
    actions.action_type,
    actions.item_id,
    CASE SUBSTR(actions.item_id, 1, 1)
      WHEN 'q' THEN items.bundle_id
      WHEN 'b' THEN actions.item_id
      WHEN 'e' THEN 'b' || SUBSTR(actions.item_id, 2)
    END AS bundle_id,
    actions.entry_point,
    actions.user_answer,
    CASE WHEN actions.action_type = 'respond' THEN actions.user_answer = items.correct_answer END AS is_correct,
    actions.platform,
    actions.cursor_milliseconds,
    actions.source_row
  FROM staging.ednet_actions AS actions
  INNER JOIN highest ON actions.student_id = highest.student_id AND actions.level = highest.level
  INNER JOIN core.students AS students ON students.source = 'ednet' AND actions.student_id = students.student_id
  LEFT JOIN core.items AS items ON items.source = 'ednet' AND actions.item_id = items.item_id
), numbered AS (
  SELECT
    chosen.*,
    ROW_NUMBER() OVER (PARTITION BY student_key ORDER BY acted_milliseconds, source_row) AS action_number,
    SUM(CASE WHEN action_type = 'enter' THEN 1 ELSE 0 END) OVER (
      PARTITION BY student_key
      ORDER BY acted_milliseconds, source_row
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS last_entered,
    LAST_VALUE(CASE WHEN action_type = 'enter' THEN item_id END IGNORE NULLS) OVER (
      PARTITION BY student_key
      ORDER BY acted_milliseconds, source_row
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS entered_item
  FROM chosen
), closed AS (
  SELECT
    numbered.*,
    COALESCE(
      item_id = entered_item
      AND ((action_type = 'submit' AND SUBSTR(item_id, 1, 1) = 'b') OR (action_type = 'quit' AND SUBSTR(item_id, 1, 1) IN ('e', 'l'))),
      FALSE
    ) AS is_closing
  FROM numbered
), placed AS (
  SELECT
    closed.*,
    last_entered > 0
    AND COALESCE(
      SUM(CASE WHEN is_closing THEN 1 ELSE 0 END) OVER (
        PARTITION BY student_key, last_entered
        ORDER BY action_number
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ),
      0
    ) = 0 AS is_inside,
    ROW_NUMBER() OVER (
      PARTITION BY student_key, acted_milliseconds, action_type, item_id, entry_point, user_answer, platform, cursor_milliseconds
      ORDER BY source_row
    ) > 1 AS is_duplicate
  FROM closed
)
SELECT
  'ednet' AS source,
  placed.student_key,
  students.student_id,
  placed.action_number,
  placed.level,
  @from_milliseconds(placed.acted_milliseconds) AS acted_at,
  placed.action_type,
  placed.item_id,
  placed.bundle_id,
  placed.entry_point,
  placed.user_answer,
  placed.is_correct,
  placed.platform,
  placed.cursor_milliseconds / 1000.0 AS cursor_seconds,
  placed.is_duplicate,
  CASE WHEN placed.is_inside THEN placed.last_entered END AS context_number,
  placed.is_inside AND placed.is_closing AS is_closing,
  CASE
    WHEN placed.action_type IN ('enter', 'pay', 'refund', 'enroll_coupon') THEN NULL
    WHEN NOT placed.action_type IN ('respond', 'submit', 'quit', 'erase_choice', 'undo_erase_choice', 'play_audio', 'pause_audio', 'play_video', 'pause_video') THEN 'unknown_action'
    WHEN NOT placed.is_inside THEN 'outside_context'
    WHEN placed.is_closing THEN NULL
    WHEN placed.action_type IN ('respond', 'erase_choice', 'undo_erase_choice') AND placed.bundle_id = placed.entered_item THEN NULL
    WHEN placed.action_type IN ('play_audio', 'pause_audio') AND SUBSTR(placed.bundle_id, 2) = SUBSTR(placed.entered_item, 2) AND SUBSTR(placed.entered_item, 1, 1) IN ('b', 'e') THEN NULL
    WHEN placed.action_type IN ('play_video', 'pause_video') AND placed.item_id = placed.entered_item THEN NULL
    ELSE 'wrong_context'
  END AS violation,
  placed.source_row
FROM placed
INNER JOIN core.students AS students ON placed.student_key = students.student_key
