"""A real S3 server for who archives to one."""

from tests.clusters import cluster  # noqa: F401
from tests.s3 import s3, s3_server  # noqa: F401
