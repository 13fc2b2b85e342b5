"""Make a virtual environment with a pip that knows dependency groups (25.1 or newer).

Run by the Makefile with the system's Python, before anything is installed: standard library only. Debian splits
`ensurepip` off into python3-venv, which a minimal machine lacks. There pip comes straight from the package index as one
wheel, checked against the hash below. That needs no root and no compiler and leaves the system as it is; only where the
index cannot be reached that way (a mirror that only apt knows) and we are root is python3-venv installed.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import venv
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

PIP_WHEEL = "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
OLDEST_PIP = "pip>=25.1"
TIMEOUT_S = 30


class SetupError(Exception):
    """Says in one line why there is no environment and what to do."""


def main(arguments: Sequence[str]) -> int:
    """Make the environment named by the one argument; return the exit status."""
    target = Path(arguments[0])
    try:
        make(target)
    except SetupError as error:
        print(f"sipshop: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"sipshop: cannot make {target} in {Path.cwd()}: {error}", file=sys.stderr)
        return 1
    return 0


def make(target: Path) -> None:
    """Make `target` anew, by ensurepip where there is one, else by the wheel, else by apt-get."""
    if has_ensurepip():
        make_by_ensurepip(target)
        return
    try:
        wheel = fetch_pip()
    except (OSError, HTTPException) as error:  # the index is out of reach; a wrong hash is a SetupError and ends here
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            advice = f"no pip from the package index ({error}); as root: apt-get install -y python3-venv"
            raise SetupError(advice) from error
        apt_get_venv()
        make_by_ensurepip(target)
    else:
        make_by_wheel(target, wheel)


def has_ensurepip() -> bool:
    """Whether this Python can put a pip into a new environment by itself."""
    return importlib.util.find_spec("ensurepip") is not None


def make_by_ensurepip(target: Path) -> None:
    """Make `target` with the pip that came with Python, then let that pip, set up as its user likes, renew itself."""
    # A process of its own: after apt_get_venv() this one would not see the new module.
    run([sys.executable, "-m", "venv", "--clear", str(target)])
    run([str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", OLDEST_PIP])


def make_by_wheel(target: Path, wheel: bytes) -> None:
    """Make `target` with the pip of that wheel."""
    venv.create(target, clear=True, symlinks=True, with_pip=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, PIP_WHEEL)
        path.write_bytes(wheel)
        # A wheel is a zip file, and Python runs a package out of one: pip installs itself.
        pip = [str(target / "bin" / "python"), str(path / "pip"), "install"]
        run([*pip, "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", str(path)])


def fetch_pip() -> bytes:
    """Return pip's wheel from the package index (PEP 691).

    Raises OSError or HTTPException when the index does not answer or has no such wheel, SetupError when the wheel is
    not the one we know.
    """
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    page = f"{index}/pip/"
    request = urllib.request.Request(page, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        page = response.geturl()
        listing = response.read()
    try:
        address = next(file["url"] for file in json.loads(listing)["files"] if file["filename"] == PIP_WHEEL)
    except (ValueError, KeyError, TypeError, StopIteration):
        raise OSError(f"{page} does not list {PIP_WHEEL}") from None
    with urllib.request.urlopen(urllib.parse.urljoin(page, address), timeout=TIMEOUT_S) as response:
        wheel: bytes = response.read()
    found = hashlib.sha256(wheel).hexdigest()
    if found != PIP_SHA256:
        raise SetupError(f"{PIP_WHEEL} from {address} has sha256 {found}, not {PIP_SHA256}: not installed")
    return wheel


def apt_get_venv() -> None:
    """Install python3-venv from Debian's packages; the caller has checked that we are root."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "python3-venv"]
    if subprocess.run(install, env=environment, check=False, capture_output=True).returncode != 0:
        run(["apt-get", "update", "-q"], environment)  # a fresh machine has no package lists yet
        run(install, environment)


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    """Run a command silently; its last words become the SetupError if it fails."""
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise SetupError(f"{' '.join(command)} failed: {words[-1]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
