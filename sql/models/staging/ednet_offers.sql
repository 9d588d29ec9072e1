MODEL (
  name staging.ednet_offers,
  kind VIEW,
  grain (offer_id),
  description 'EdNet payment items and coupons under each other, one row an offer; -1 is null.',
  columns (
    offer_id TEXT,
    offer_type TEXT,
    validity_seconds DOUBLE,
    num_questions BIGINT
  ),
  column_descriptions (
    offer_id = 'Published id: p… a payment item, c… a coupon. Source: payments payment_item_id, coupons coupon_id.',
    offer_type = 'pass, paygo or the coupon type. Source: payments type, coupons coupon_type.',
    validity_seconds = 'How long it is valid, seconds. Source: payments duaration, coupons duration.',
    num_questions = 'Questions bought. Source: payments number_of_questions.'
  ),
  audits (
    unique_values(columns := (offer_id)),
    not_null(columns := (offer_id))
  )
);

SELECT
  payment_item_id AS offer_id,
  NULLIF(TRIM(type), '-1') AS offer_type,
  NULLIF(duaration, -1) / 1000.0 AS validity_seconds,
  NULLIF(number_of_questions, -1) AS num_questions
FROM raw.ednet_payments
UNION ALL
SELECT
  coupon_id AS offer_id,
  NULLIF(TRIM(coupon_type), '-1') AS offer_type,
  NULLIF(duration, -1) / 1000.0 AS validity_seconds,
  CAST(NULL AS BIGINT) AS num_questions
FROM raw.ednet_coupons
