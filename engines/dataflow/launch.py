"""The file that a flex template runs: one build as a Dataflow job."""

from engines.dataflow.__main__ import main

main()
