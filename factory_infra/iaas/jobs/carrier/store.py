"""The carrier's side of the bucket: whole objects in and out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

ATTEMPTS = 6
PART_BYTES = 64 * 1024 * 1024
"""A larger file goes in parts: S3 takes 5 GiB at once at most, and 10,000 parts."""
LOST_RACE = frozenset({"PreconditionFailed", "412"})
ABSENT = frozenset({"NoSuchKey", "404"})


class S3(Protocol):
    """A client of botocore for S3: its operations are made from a description, so no type knows them."""

    def __getattr__(self, name: str) -> Any:
        """An operation."""
        ...


class Store:
    """Reads and writes objects of one bucket.

    Args:
        bucket: its name.
        region: where it is.
    """

    def __init__(self, bucket: str, region: str) -> None:
        self._bucket = bucket
        config = Config(retries={"total_max_attempts": ATTEMPTS, "mode": "standard"}, user_agent_extra="lineshaft-carrier")
        self._client: S3 = Session().create_client("s3", region_name=region, config=config)

    def put(self, key: str, body: bytes) -> None:
        """Write an object whole."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=body)

    def put_new(self, key: str, body: bytes) -> bool:
        """Write an object that was not there before; return whether it is ours now."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] not in LOST_RACE:
                raise
            # A repeated request of our own may have lost against its first try, whose answer never came.
            return self.get(key) == body
        return True

    def get(self, key: str) -> bytes | None:
        """Read an object, or None where there is none."""
        try:
            body: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in ABSENT:
                return None
            raise
        return body

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key below a prefix, in order."""
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            yield from (each["Key"] for each in page.get("Contents", []))

    def upload(self, file: Path, key: str) -> None:
        """Write a file as an object, which is there whole or not at all."""
        with file.open("rb") as stream:
            if file.stat().st_size <= PART_BYTES:
                self._client.put_object(Bucket=self._bucket, Key=key, Body=stream)
            else:
                self._in_parts(stream, key)

    def _in_parts(self, stream: BinaryIO, key: str) -> None:
        target = {"Bucket": self._bucket, "Key": key}
        upload = self._client.create_multipart_upload(**target)["UploadId"]
        parts: list[dict[str, object]] = []
        try:
            while chunk := stream.read(PART_BYTES):
                number = len(parts) + 1
                told = self._client.upload_part(**target, UploadId=upload, PartNumber=number, Body=chunk)
                parts.append({"PartNumber": number, "ETag": told["ETag"]})
            self._client.complete_multipart_upload(**target, UploadId=upload, MultipartUpload={"Parts": parts})
        except (OSError, BotoCoreError, ClientError):
            self._client.abort_multipart_upload(**target, UploadId=upload)
            raise

    def remove(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def download(self, key: str, file: Path) -> None:
        """Write an object as a file, whole or not at all."""
        draft = file.with_name(f".{file.name}.part")
        body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
        with draft.open("wb") as stream:
            for chunk in body.iter_chunks(1 << 20):
                stream.write(chunk)
        draft.replace(file)
