MODEL (
  name core.interactions,
  kind FULL,
  grain (student_key, interaction_number),
  description 'One row an answered or skipped item, in the order of the student: EdNet KT1 by time and source row, ASSISTments by source row, steps of tutors by first action and Row (one a row of core.steps).',
  columns (
    source TEXT,
    student_key INT,
    student_id TEXT,
    interaction_number INT,
    item_key INT,
    item_id TEXT,
    bundle_id TEXT,
    part INT,
    answered_at TIMESTAMPTZ,
    displayed_at TIMESTAMPTZ,
    user_answer TEXT,
    is_answered BOOLEAN,
    is_correct BOOLEAN,
    elapsed_seconds DOUBLE,
    bundle_elapsed_seconds DOUBLE,
    lag_seconds DOUBLE,
    bundle_visit INT,
    attempt_number INT,
    is_first_attempt BOOLEAN,
    is_last_attempt BOOLEAN,
    session_id BIGINT,
    source_row INT
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    student_key = 'Dense number of the student, from 1, unique over sources.',
    student_id = 'Published student id.',
    interaction_number = 'Order of the interactions of the student, from 1.',
    item_key = 'Dense number of the item, from 1, unique over sources.',
    item_id = 'Published item id: EdNet question, ASSISTments problem (or `kc:` and the skill where no problem is published), step of a tutor''s problem.',
    bundle_id = 'Published bundle of the item, or the problem of a tutor''s step; null where the source has none.',
    part = 'TOEIC part 1-7; null where unknown.',
    answered_at = 'When answered, UTC; EdNet: shifted, within about 2 s of the submit; tutors: first action on the step, local clock as if UTC; null where the source has no times.',
    displayed_at = 'Estimated display: answered_at minus bundle_elapsed_seconds, UTC; tutors: start of the step as the publisher inferred it.',
    user_answer = 'Submitted choice a-d; null where none was given or published.',
    is_answered = 'False where the student submitted without a choice, or where the first attempt at a tutor''s step is blank.',
    is_correct = 'Right or wrong; null where unanswered or where the right choice is unknown; tutors: first attempt, a hint first is an error.',
    elapsed_seconds = 'Seconds on this item; EdNet: time on the bundle divided by its number of items; tutors: all of the step, later attempts too.',
    bundle_elapsed_seconds = 'Seconds on the bundle visit: elapsed_seconds times the items of the bundle; null for tutors.',
    lag_seconds = 'Seconds from the previous answer to this display, at least 0; 0 inside a bundle visit of EdNet; null on the first interaction and where the display is unknown.',
    bundle_visit = 'Counter of delivered bundles of the student; EdNet solving_id; tutors: interaction_number of the first step of the problem attempt.',
    attempt_number = 'Time the student meets this item, from 1.',
    is_first_attempt = 'True when attempt_number is 1.',
    is_last_attempt = 'True on the last time the student meets this item.',
    session_id = 'Sitting: student_key times 1,000,000 plus the number of the sitting; a new one starts after the idle time of the settings; null without times.',
    source_row = 'Data row of the student in the source, of tutors in the file, from 1.'
  ),
  audits (
    unique_combination_of_columns(columns := (student_key, interaction_number)),
    not_null(columns := (source, student_key, student_id, interaction_number, item_key, item_id, is_answered, source_row)),
    forall(criteria := (is_answered OR is_correct IS NULL, lag_seconds >= 0, elapsed_seconds >= 0)),
    references_relation(column := item_key, relation := core.items, key := item_key),
    same_total(here := COUNT(*), relation := core.students, there := SUM(num_interactions))
  )
);

WITH answers AS (
  SELECT
    students.student_key,
    items.item_key,
    answers.answered_milliseconds,
    answers.user_answer,
    answers.user_answer IS NOT NULL AS is_answered,
    answers.user_answer = items.correct_answer AS is_correct,
    answers.elapsed_milliseconds / 1000.0 AS elapsed_seconds,
    answers.elapsed_milliseconds * COALESCE(bundles.num_items, 1) AS bundle_elapsed_milliseconds,
    answers.answered_milliseconds - answers.elapsed_milliseconds * COALESCE(bundles.num_items, 1) AS displayed_milliseconds,
    answers.bundle_visit,
    answers.source_row AS row_order,
    answers.source_row
  FROM staging.ednet_answers AS answers
  INNER JOIN core.students AS students ON students.source = 'ednet' AND answers.student_id = students.student_id
  INNER JOIN core.items AS items ON items.source = 'ednet' AND answers.item_id = items.item_id
  LEFT JOIN core.bundles AS bundles ON items.source = bundles.source AND items.bundle_id = bundles.bundle_id
  UNION ALL
  SELECT
    students.student_key,
    items.item_key,
    CAST(NULL AS BIGINT) AS answered_milliseconds,
    CAST(NULL AS TEXT) AS user_answer,
    answers.is_correct IS NOT NULL AS is_answered,
    answers.is_correct,
    answers.elapsed_seconds,
    CAST(answers.elapsed_seconds * 1000 AS BIGINT) AS bundle_elapsed_milliseconds,
    CAST(NULL AS BIGINT) AS displayed_milliseconds,
    CAST(NULL AS INT) AS bundle_visit,
    answers.row_number AS row_order,
    answers.row_number AS source_row
  FROM core.answer_rows AS answers
  INNER JOIN core.students AS students ON answers.source = students.source AND answers.student_id = students.student_id
  INNER JOIN core.items AS items ON answers.source = items.source AND answers.item_id = items.item_id
  WHERE answers.is_first_row
  UNION ALL
  SELECT
    student_key,
    item_key,
    @to_milliseconds(started_at) AS answered_milliseconds,
    CAST(NULL AS TEXT) AS user_answer,
    is_correct IS NOT NULL AS is_answered,
    is_correct,
    elapsed_seconds,
    CAST(NULL AS BIGINT) AS bundle_elapsed_milliseconds,
    CASE WHEN displayed_at <= started_at THEN @to_milliseconds(displayed_at) END AS displayed_milliseconds,
    CAST(attempt_key % 1000000 AS INT) AS bundle_visit,
    interaction_number AS row_order,
    source_row
  FROM core.steps
), numbered AS (
  SELECT
    answers.*,
    ROW_NUMBER() OVER (PARTITION BY student_key ORDER BY answered_milliseconds NULLS LAST, row_order) AS interaction_number,
    LAG(answered_milliseconds) OVER (PARTITION BY student_key ORDER BY answered_milliseconds NULLS LAST, row_order) AS previous_milliseconds,
    LAG(bundle_visit) OVER (PARTITION BY student_key ORDER BY answered_milliseconds NULLS LAST, row_order) AS previous_visit
  FROM answers
), sessions AS (
  SELECT
    numbered.*,
    SUM(
      CASE
        WHEN answered_milliseconds - previous_milliseconds <= @session_idle_seconds * 1000
        THEN 0
        ELSE 1
      END
    ) OVER (PARTITION BY student_key ORDER BY interaction_number) AS session_number
  FROM numbered
), attempts AS (
  SELECT
    sessions.*,
    ROW_NUMBER() OVER (PARTITION BY student_key, item_key ORDER BY interaction_number) AS attempt_number,
    LEAD(interaction_number) OVER (PARTITION BY student_key, item_key ORDER BY interaction_number) AS next_attempt
  FROM sessions
)
SELECT
  students.source,
  attempts.student_key,
  students.student_id,
  attempts.interaction_number,
  attempts.item_key,
  items.item_id,
  items.bundle_id,
  items.part,
  @from_milliseconds(attempts.answered_milliseconds) AS answered_at,
  @from_milliseconds(attempts.displayed_milliseconds) AS displayed_at,
  attempts.user_answer,
  attempts.is_answered,
  attempts.is_correct,
  attempts.elapsed_seconds,
  attempts.bundle_elapsed_milliseconds / 1000.0 AS bundle_elapsed_seconds,
  CASE
    WHEN attempts.previous_milliseconds IS NULL THEN NULL
    WHEN attempts.bundle_visit = attempts.previous_visit AND students.source = 'ednet' THEN 0.0
    WHEN attempts.displayed_milliseconds IS NULL THEN NULL
    ELSE GREATEST(
      0.0,
      (attempts.displayed_milliseconds - attempts.previous_milliseconds) / 1000.0
    )
  END AS lag_seconds,
  attempts.bundle_visit,
  attempts.attempt_number,
  attempts.attempt_number = 1 AS is_first_attempt,
  attempts.next_attempt IS NULL AS is_last_attempt,
  CASE
    WHEN attempts.answered_milliseconds IS NULL THEN NULL
    ELSE CAST(attempts.student_key AS BIGINT) * 1000000 + attempts.session_number
  END AS session_id,
  attempts.source_row
FROM attempts
INNER JOIN core.students AS students ON attempts.student_key = students.student_key
INNER JOIN core.items AS items ON attempts.item_key = items.item_key
