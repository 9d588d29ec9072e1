"""Make the bucket of an address such as s3://edpipe/mlflow, unless it is there."""

import os
import sys
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import ClientError


def main() -> None:
    bucket = urlsplit(sys.argv[1]).netloc
    store = boto3.client("s3", endpoint_url=os.environ.get("MLFLOW_S3_ENDPOINT_URL"))
    try:
        store.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            sys.exit(f"The bucket {bucket!r} cannot be looked at: {error}. Check OBJECTS_ACCESS_KEY in .env.")
        store.create_bucket(Bucket=bucket)
        print(f"Made the bucket {bucket!r}.")


if __name__ == "__main__":
    main()
