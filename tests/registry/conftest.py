"""A real S3 server for what keeps model files."""

from tests.s3 import s3, s3_server  # noqa: F401
