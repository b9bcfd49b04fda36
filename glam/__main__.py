"""What `glam` and `python -m glam` start."""

import sys

from trainer.accelerators import look_only_where_there_are_some
from trainer.huge_pages import restart_with_huge_pages

TRAINING_COMMANDS = ("train", "finetune")


def start() -> None:
    """Run the command: without a search for accelerators on a machine that has none, and one that trains in a process
    with large pages of memory."""
    look_only_where_there_are_some()
    if sys.argv[1:2] and sys.argv[1] in TRAINING_COMMANDS:
        restart_with_huge_pages()
    from glam.main import main

    main()


if __name__ == "__main__":
    start()
