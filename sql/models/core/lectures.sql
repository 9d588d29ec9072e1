MODEL (
  name core.lectures,
  kind FULL,
  grain (source, lecture_id),
  description 'One row a video lecture.',
  columns (
    source TEXT,
    lecture_id TEXT,
    part INT,
    kc_id TEXT,
    video_seconds DOUBLE,
    deployed_at TIMESTAMPTZ
  ),
  column_descriptions (
    source = 'Where the row comes from: ednet, assistments, kddcup, datashop or mathia.',
    lecture_id = 'Published lecture id.',
    part = 'TOEIC part, 0 for the whole test; null where unknown.',
    kc_id = 'Published knowledge component: EdNet tag as text, ASSISTments skill, KC of a tutor behind its data set.',
    video_seconds = 'Length of the video, seconds; null where unknown.',
    deployed_at = 'When put into the app, UTC; null where unknown.'
  ),
  audits (
    unique_combination_of_columns(columns := (source, lecture_id)),
    not_null(columns := (source, lecture_id)),
    accepted_range(column := video_seconds, min_v := 0)
  )
);

SELECT
  'ednet' AS source,
  lecture_id,
  part,
  kc_id,
  video_seconds,
  deployed_at
FROM staging.ednet_lectures
