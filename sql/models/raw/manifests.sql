MODEL (
  name raw.manifests,
  kind VIEW,
  grain (source, relation),
  description 'One row a raw relation: how many rows were read, kept and refused, from what release and under what licence.',
  columns (
    source TEXT,
    relation TEXT,
    release TEXT,
    licence TEXT,
    selection TEXT,
    source_rows BIGINT,
    kept_rows BIGINT,
    rejected_rows BIGINT,
    num_shards BIGINT,
    excluded_members BIGINT
  ),
  column_descriptions (
    source = 'Source of the relation.',
    relation = 'Raw relation.',
    release = 'Release of the source where it is known.',
    licence = 'Licence of the source data.',
    selection = 'Students that were taken.',
    source_rows = 'Rows read from the source.',
    kept_rows = 'Rows kept.',
    rejected_rows = 'Rows refused with a reason.',
    num_shards = 'Parquet shards.',
    excluded_members = 'Archive members left out by the selection.'
  ),
  audits (
    unique_combination_of_columns(columns := (source, relation)),
    forall(criteria := (source_rows = kept_rows + rejected_rows))
  )
);

SELECT
  source,
  relation,
  release,
  licence,
  selection,
  source_rows,
  kept_rows,
  rejected_rows,
  num_shards,
  excluded_members
FROM @manifest_rows(@raw_manifests)
