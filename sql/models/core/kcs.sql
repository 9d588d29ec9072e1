MODEL (
  name core.kcs,
  kind FULL,
  grain (source, kc_id),
  description 'One row a knowledge component of any item or lecture. Those of tutors come first, with the keys of core.kc_sets.',
  columns (
    kc_key INT,
    source TEXT,
    kc_id TEXT,
    num_items BIGINT
  ),
  column_descriptions (
    kc_key = 'Dense number of the knowledge component, from 1, unique over sources.',
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    kc_id = 'Published knowledge component: EdNet tag as text, ASSISTments skill, KC of a tutor behind its data set.',
    num_items = 'Items that have it; 0 for tags of lectures only and for bookkeeping of tutors.'
  ),
  audits (
    unique_values(columns := (kc_key)),
    unique_combination_of_columns(columns := (source, kc_id)),
    not_null(columns := (kc_key, source, kc_id))
  )
);

WITH seen AS (
  SELECT 'ednet' AS source, kc_id, item_id FROM staging.ednet_question_kcs
  UNION ALL
  SELECT 'ednet' AS source, kc_id, CAST(NULL AS TEXT) AS item_id FROM staging.ednet_lectures WHERE kc_id IS NOT NULL
  UNION ALL
  SELECT source, kc_id, item_id FROM core.answer_rows WHERE kc_id IS NOT NULL
), of_tutors AS (
  SELECT
    kc_sets.kc_key,
    MIN(kc_sets.source) AS source,
    MIN(kc_sets.kc_id) AS kc_id,
    COUNT(DISTINCT CASE WHEN NOT kc_sets.is_ignored THEN used.item_key END) AS num_items
  FROM core.kc_sets AS kc_sets
  LEFT JOIN (SELECT DISTINCT item_key, kc_set_key FROM core.step_rows) AS used ON kc_sets.kc_set_key = used.kc_set_key
  GROUP BY kc_sets.kc_key
), kcs AS (
  SELECT kc_key AS tutor_key, source, kc_id, num_items FROM of_tutors
  UNION ALL
  SELECT CAST(NULL AS INT) AS tutor_key, source, kc_id, COUNT(DISTINCT item_id) AS num_items FROM seen GROUP BY source, kc_id
)
SELECT
  ROW_NUMBER() OVER (ORDER BY tutor_key NULLS LAST, source, LENGTH(kc_id), kc_id) AS kc_key,
  source,
  kc_id,
  num_items
FROM kcs
ORDER BY kc_key
