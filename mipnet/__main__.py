"""``python -m mipnet``: the command line."""

from mipnet.cli import main

if __name__ == "__main__":
    main()
