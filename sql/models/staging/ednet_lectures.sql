MODEL (
  name staging.ednet_lectures,
  kind VIEW,
  grain (lecture_id),
  description 'EdNet lectures, one row a lecture; -1 is null.',
  columns (
    lecture_id TEXT,
    part INT,
    kc_id TEXT,
    video_seconds DOUBLE,
    deployed_at TIMESTAMPTZ
  ),
  column_descriptions (
    lecture_id = 'Published lecture id. Source: lectures lecture_id.',
    part = 'TOEIC part, 0 for lectures about the whole test. Source: lectures part.',
    kc_id = 'Knowledge component, the tag as text. Source: lectures tags.',
    video_seconds = 'Length of the video, seconds. Source: lectures video_length.',
    deployed_at = 'When put into the app, UTC. Source: lectures deployed_at.'
  ),
  audits (
    unique_values(columns := (lecture_id)),
    not_null(columns := (lecture_id))
  )
);

SELECT
  lecture_id,
  NULLIF(part, -1) AS part,
  NULLIF(NULLIF(TRIM(tags), '-1'), '') AS kc_id,
  NULLIF(video_length, -1) / 1000.0 AS video_seconds,
  @from_milliseconds(NULLIF(deployed_at, -1)) AS deployed_at
FROM raw.ednet_lectures
