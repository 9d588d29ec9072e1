MODEL (
  name raw.ednet_payments,
  kind VIEW,
  grain (payment_item_id),
  description 'EdNet payments as ingested, one row a payment item: a view over the Parquet shards that the manifest lists.',
  columns (
    source_row INT,
    payment_item_id TEXT,
    type TEXT,
    duaration BIGINT,
    number_of_questions BIGINT
  ),
  column_descriptions (
    source_row = 'Data row in its file or member, from 1. Source: EdNet payments.',
    payment_item_id = 'Published payment item id. Source: EdNet payments.',
    type = 'pass or paygo; -1 is unknown. Source: EdNet payments.',
    duaration = 'Milliseconds of validity, spelt as published; -1 is none. Source: EdNet payments.',
    number_of_questions = 'Questions bought; -1 is none. Source: EdNet payments.'
  ),
  audits (
    not_null(columns := (payment_item_id, source_row))
  )
);

SELECT
  source_row,
  payment_item_id,
  type,
  duaration,
  number_of_questions
FROM @raw(@ednet_payments)
