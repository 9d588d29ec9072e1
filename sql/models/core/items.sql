MODEL (
  name core.items,
  kind FULL,
  grain (source, item_id),
  description 'One row an item: every question of the contents tables and every item that was answered. Steps of tutors come first, with the keys of core.problem_steps.',
  columns (
    item_key INT,
    source TEXT,
    item_id TEXT,
    bundle_id TEXT,
    explanation_id TEXT,
    part INT,
    correct_answer TEXT,
    num_kcs BIGINT,
    deployed_at TIMESTAMPTZ,
    is_in_contents BOOLEAN
  ),
  column_descriptions (
    item_key = 'Dense number of the item, from 1, unique over sources.',
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    item_id = 'Published item id: EdNet question, ASSISTments problem (or `kc:` and the skill where no problem is published), step of a tutor''s problem.',
    bundle_id = 'Published bundle of the item, or the problem of a tutor''s step; null where the source has none.',
    explanation_id = 'Published explanation of the bundle; null where the source has none.',
    part = 'TOEIC part 1-7; null where unknown.',
    correct_answer = 'Right choice a-d; null where the source publishes right or wrong only.',
    num_kcs = 'Knowledge components, counted as a set; 0 where none is known.',
    deployed_at = 'When put into the app, UTC, null where unknown; not the first use.',
    is_in_contents = 'False for an answered EdNet item that the contents tables do not know.'
  ),
  audits (
    unique_values(columns := (item_key)),
    unique_combination_of_columns(columns := (source, item_id)),
    not_null(columns := (item_key, source, item_id, num_kcs, is_in_contents)),
    accepted_range(column := part, min_v := 1, max_v := 7),
    accepted_values(column := correct_answer, is_in := ('a', 'b', 'c', 'd'))
  )
);

WITH seen AS (
  SELECT
    item_key AS tutor_key,
    source,
    item_id,
    problem_id AS bundle_id,
    CAST(NULL AS TEXT) AS explanation_id,
    CAST(NULL AS INT) AS part,
    CAST(NULL AS TEXT) AS correct_answer,
    CAST(NULL AS TIMESTAMPTZ) AS deployed_at,
    TRUE AS is_in_contents
  FROM core.problem_steps
  UNION ALL
  SELECT
    CAST(NULL AS INT) AS tutor_key,
    'ednet' AS source,
    item_id,
    bundle_id,
    explanation_id,
    part,
    correct_answer,
    deployed_at,
    TRUE AS is_in_contents
  FROM staging.ednet_questions
  UNION ALL
  SELECT DISTINCT
    CAST(NULL AS INT) AS tutor_key,
    'ednet' AS source,
    answers.item_id,
    CAST(NULL AS TEXT) AS bundle_id,
    CAST(NULL AS TEXT) AS explanation_id,
    CAST(NULL AS INT) AS part,
    CAST(NULL AS TEXT) AS correct_answer,
    CAST(NULL AS TIMESTAMPTZ) AS deployed_at,
    FALSE AS is_in_contents
  FROM staging.ednet_answers AS answers
  LEFT JOIN staging.ednet_questions AS questions ON answers.item_id = questions.item_id
  WHERE questions.item_id IS NULL
  UNION ALL
  SELECT DISTINCT
    CAST(NULL AS INT) AS tutor_key,
    source,
    item_id,
    CAST(NULL AS TEXT) AS bundle_id,
    CAST(NULL AS TEXT) AS explanation_id,
    CAST(NULL AS INT) AS part,
    CAST(NULL AS TEXT) AS correct_answer,
    CAST(NULL AS TIMESTAMPTZ) AS deployed_at,
    TRUE AS is_in_contents
  FROM core.answer_rows
), tagged AS (
  SELECT 'ednet' AS source, item_id, COUNT(*) AS num_kcs FROM staging.ednet_question_kcs GROUP BY item_id
  UNION ALL
  SELECT source, item_id, COUNT(DISTINCT kc_id) AS num_kcs FROM core.answer_rows GROUP BY source, item_id
), tagged_steps AS (
  SELECT used.item_key, COUNT(DISTINCT kc_sets.kc_key) AS num_kcs
  FROM (SELECT DISTINCT item_key, kc_set_key FROM core.step_rows WHERE kc_set_key IS NOT NULL) AS used
  INNER JOIN core.kc_sets AS kc_sets ON used.kc_set_key = kc_sets.kc_set_key
  WHERE NOT kc_sets.is_ignored
  GROUP BY used.item_key
)
SELECT
  ROW_NUMBER() OVER (ORDER BY seen.tutor_key NULLS LAST, seen.source, LENGTH(seen.item_id), seen.item_id) AS item_key,
  seen.source,
  seen.item_id,
  seen.bundle_id,
  seen.explanation_id,
  seen.part,
  seen.correct_answer,
  COALESCE(tagged.num_kcs, tagged_steps.num_kcs, 0) AS num_kcs,
  seen.deployed_at,
  seen.is_in_contents
FROM seen
LEFT JOIN tagged ON seen.source = tagged.source AND seen.item_id = tagged.item_id
LEFT JOIN tagged_steps ON seen.tutor_key = tagged_steps.item_key
ORDER BY item_key
