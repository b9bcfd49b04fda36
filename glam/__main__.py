"""What `glam` and `python -m glam` start."""

import sys

from trainer.huge_pages import restart_with_huge_pages

TRAINING_COMMANDS = ("train", "finetune")


def start() -> None:
    """Run the command, one that trains in a process with large pages of memory."""
    if sys.argv[1:2] and sys.argv[1] in TRAINING_COMMANDS:
        restart_with_huge_pages()
    from glam.main import main

    main()


if __name__ == "__main__":
    start()
