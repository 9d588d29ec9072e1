MODEL (
  name raw.ednet_coupons,
  kind VIEW,
  grain (coupon_id),
  description 'EdNet coupons as ingested, one row a coupon: a view over the Parquet shards that the manifest lists.',
  columns (
    source_row INT,
    coupon_id TEXT,
    coupon_type TEXT,
    duration BIGINT
  ),
  column_descriptions (
    source_row = 'Data row in its file or member, from 1. Source: EdNet coupons.',
    coupon_id = 'Published coupon id. Source: EdNet coupons.',
    coupon_type = 'Published coupon type. Source: EdNet coupons.',
    duration = 'Milliseconds of validity. Source: EdNet coupons.'
  ),
  audits (
    not_null(columns := (coupon_id, source_row))
  )
);

SELECT
  source_row,
  coupon_id,
  coupon_type,
  duration
FROM @raw(@ednet_coupons)
