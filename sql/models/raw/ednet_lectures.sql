MODEL (
  name raw.ednet_lectures,
  kind VIEW,
  grain (lecture_id),
  description 'EdNet lectures as ingested, one row a lecture: a view over the Parquet shards that the manifest lists.',
  columns (
    source_row INT,
    lecture_id TEXT,
    part INT,
    tags TEXT,
    video_length BIGINT,
    deployed_at BIGINT
  ),
  column_descriptions (
    source_row = 'Data row in its file or member, from 1. Source: EdNet lectures.',
    lecture_id = 'Published lecture id. Source: EdNet lectures.',
    part = 'TOEIC part; -1 is unknown. Source: EdNet lectures.',
    tags = 'Semicolon list of knowledge components; -1 is unknown. Source: EdNet lectures.',
    video_length = 'Milliseconds; -1 is unknown. Source: EdNet lectures.',
    deployed_at = 'Milliseconds since 1970 of publication in the app; -1 is unknown. Source: EdNet lectures.'
  ),
  audits (
    not_null(columns := (lecture_id, source_row))
  )
);

SELECT
  source_row,
  lecture_id,
  part,
  tags,
  video_length,
  deployed_at
FROM @raw(@ednet_lectures)
