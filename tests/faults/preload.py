"""Imported by the server from which processes of `glam` are forked: the commands, the jobs, and the identity of each
job's code, which takes a process a CPU second to work out.
"""

import glam.main
import glam.sources
import glam.tables
import glam.verification  # noqa: F401
from pipelines.build import STEPS
from pipelines.store.code_identity import code_identity

for job in STEPS:
    code_identity(f"pipelines.{job}")
