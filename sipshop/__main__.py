"""`python -m sipshop`: the command line, or one line that says why this Python cannot run it."""

import sys

try:
    from sipshop.cli import main
except (ImportError, SyntaxError) as error:  # an old Python, or one without our packages: both are the wrong one
    python = "%d.%d" % sys.version_info[:2]  # noqa: UP031 - this file is read by Pythons that are too old for us
    sys.exit(
        "sipshop: Python " + python + " (" + sys.executable + ") cannot run it: " + str(error) + ". It needs Python "
        "3.11 to 3.13 and its packages: run `make setup`, then .venv/bin/sipshop"
    )

if __name__ == "__main__":
    main()
