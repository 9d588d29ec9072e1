MODEL (
  name core.offers,
  kind FULL,
  grain (source, offer_id),
  description 'One row a payment item or coupon.',
  columns (
    source TEXT,
    offer_id TEXT,
    offer_type TEXT,
    validity_seconds DOUBLE,
    num_questions BIGINT
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    offer_id = 'Published id: p… a payment item, c… a coupon.',
    offer_type = 'pass, paygo or the coupon type; null where unknown.',
    validity_seconds = 'How long it is valid, seconds.',
    num_questions = 'Questions bought; null for passes.'
  ),
  audits (
    unique_combination_of_columns(columns := (source, offer_id)),
    not_null(columns := (source, offer_id))
  )
);

SELECT
  'ednet' AS source,
  offer_id,
  offer_type,
  validity_seconds,
  num_questions
FROM staging.ednet_offers
