"""`python -m sipshop.demo HOST PORT`: the carrier as the child of whoever holds the other end of its standard input."""

import sys

from sipshop.demo.carrier import main

if __name__ == "__main__":
    sys.exit(main((sys.argv[1], int(sys.argv[2])), watch_stdin=True))
