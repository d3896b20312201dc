"""`python -m widthwise.cli`."""

from widthwise.cli import main

main()
