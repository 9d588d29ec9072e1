MODEL (
  name core.kcs,
  kind FULL,
  grain (source, kc_id),
  description 'One row a knowledge component of any item or lecture.',
  columns (
    kc_key INT,
    source TEXT,
    kc_id TEXT,
    num_items BIGINT
  ),
  column_descriptions (
    kc_key = 'Dense number of the knowledge component, from 1, unique over sources.',
    source = 'Where the row comes from: ednet or assistments.',
    kc_id = 'Published knowledge component: EdNet tag as text, ASSISTments skill.',
    num_items = 'Items that have it; 0 for tags of lectures only.'
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
), kcs AS (
  SELECT source, kc_id, COUNT(DISTINCT item_id) AS num_items FROM seen GROUP BY source, kc_id
)
SELECT
  ROW_NUMBER() OVER (ORDER BY source, LENGTH(kc_id), kc_id) AS kc_key,
  source,
  kc_id,
  num_items
FROM kcs
ORDER BY kc_key
