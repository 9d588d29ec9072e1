MODEL (
  name core.item_kcs,
  kind FULL,
  grain (item_key, kc_key),
  description 'The knowledge components of each item as a set: one row an item and component. Of a tutor''s step: of all times it was met, bookkeeping left out.',
  columns (
    source TEXT,
    item_key INT,
    item_id TEXT,
    kc_key INT,
    kc_id TEXT
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    item_key = 'Dense number of the item, from 1, unique over sources.',
    item_id = 'Published item id: EdNet question, ASSISTments problem (or `kc:` and the skill where no problem is published), step of a tutor''s problem.',
    kc_key = 'Dense number of the knowledge component, from 1, unique over sources.',
    kc_id = 'Published knowledge component: EdNet tag as text, ASSISTments skill, KC of a tutor behind its data set.'
  ),
  audits (
    unique_combination_of_columns(columns := (item_key, kc_key)),
    not_null(columns := (source, item_key, item_id, kc_key, kc_id)),
    same_total(here := COUNT(*), relation := core.items, there := SUM(num_kcs))
  )
);

WITH pairs AS (
  SELECT 'ednet' AS source, item_id, kc_id FROM staging.ednet_question_kcs
  UNION ALL
  SELECT DISTINCT source, item_id, kc_id FROM core.answer_rows WHERE kc_id IS NOT NULL
)
SELECT
  pairs.source,
  items.item_key,
  pairs.item_id,
  kcs.kc_key,
  pairs.kc_id
FROM pairs
INNER JOIN core.items AS items ON pairs.source = items.source AND pairs.item_id = items.item_id
INNER JOIN core.kcs AS kcs ON pairs.source = kcs.source AND pairs.kc_id = kcs.kc_id
UNION ALL
SELECT DISTINCT
  steps.source,
  steps.item_key,
  steps.item_id,
  kc_sets.kc_key,
  kc_sets.kc_id
FROM (SELECT DISTINCT item_key, kc_set_key FROM core.step_rows WHERE kc_set_key IS NOT NULL) AS used
INNER JOIN core.problem_steps AS steps ON used.item_key = steps.item_key
INNER JOIN core.kc_sets AS kc_sets ON used.kc_set_key = kc_sets.kc_set_key
WHERE NOT kc_sets.is_ignored
ORDER BY item_key, kc_key
