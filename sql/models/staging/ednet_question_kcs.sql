MODEL (
  name staging.ednet_question_kcs,
  kind VIEW,
  grain (item_id, kc_id),
  description 'EdNet tags of questions as a set: one row a question and tag, repeats removed, -1 left out.',
  columns (
    item_id TEXT,
    kc_id TEXT
  ),
  column_descriptions (
    item_id = 'Published question id. Source: questions question_id.',
    kc_id = 'Knowledge component, the tag as text. Source: questions tags.'
  ),
  audits (
    unique_combination_of_columns(columns := (item_id, kc_id)),
    not_null(columns := (item_id, kc_id))
  )
);

SELECT DISTINCT
  tagged.item_id,
  TRIM(tagged.kc_id) AS kc_id
FROM (
  SELECT
    question_id AS item_id,
    @split_list(tags) AS kc_id
  FROM raw.ednet_questions
) AS tagged
WHERE NOT TRIM(tagged.kc_id) IN ('', '-1')
