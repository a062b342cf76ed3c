"""`python -m halfulp` is the command `halfulp`."""

from halfulp.study.cli import main

if __name__ == "__main__":
    main()
