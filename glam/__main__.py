"""`python -m glam` is `glam`."""

from glam.main import main

main()
