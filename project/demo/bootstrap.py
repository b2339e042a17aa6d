"""Makes the virtual environment that `make` works in, and installs into it when the requirements have changed.

Run by a Python that the Makefile has found to be new enough: `bootstrap.py .venv requirements.txt [optional.txt …]`.
What is optional is left out, with a word, where it cannot be built.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

PIP = ("-m", "pip", "--disable-pip-version-check")
#: What pip says when it has not reached its index at all.
NO_NETWORK = ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError", "Temporary failure in name resolution",
              "ProxyError", "ReadTimeoutError", "Connection refused", "Network is unreachable")  # fmt: skip
MARIADB_HEADERS = ("mysqlclient", "mariadb", "libmariadb")


class CannotSetUp(Exception):
    """What is missing, and what to do about it."""


def main(folder: Path, required: Path, optional: list[Path]) -> None:
    """Bring the virtual environment in `folder` up to date; quick when it is."""
    python = folder / "bin" / "python"
    if not works(python):
        make_environment(folder)
    stamp = folder / f"{required.stem}.installed"
    if not is_current(stamp, required):
        install(python, folder, required)
        stamp.write_text(fingerprint(required))
    for requirements in optional:
        install_if_possible(python, folder, requirements)


def works(python: Path) -> bool:
    """False where there is none yet, where the Python it was made from is gone, and where it is another version."""
    code = f"import pip, sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    try:
        return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make_environment(folder: Path) -> None:
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise CannotSetUp(
            f"{sys.executable} (Python {version}) lacks the module {' and '.join(missing)}, so it cannot make a virtual "
            f"environment. On Debian or Ubuntu: sudo apt-get install python{version}-venv. "
            "Or name another Python: make demo PYTHON=/path/to/python3"
        )
    print(f"Making a virtual environment in {folder.name} …", flush=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", folder], capture_output=True, text=True, check=False
    )
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise CannotSetUp(f"The virtual environment could not be made: {(made.stdout + made.stderr).strip()}")


def fingerprint(requirements: Path) -> str:
    """Changes with the file, with the files that it includes, and with Python."""
    content = requirements.read_text()
    for line in content.splitlines():
        if line.startswith("-r "):
            content += fingerprint(requirements.parent / line[3:].strip())
    return hashlib.sha256(f"{sys.version_info[:2]} {content}".encode()).hexdigest()


def is_current(stamp: Path, requirements: Path) -> bool:
    return stamp.exists() and stamp.read_text() == fingerprint(requirements)


def pip_install(python: Path, folder: Path, requirements: Path) -> tuple[bool, str, Path]:
    """Whether it worked, what pip said, and where that is kept."""
    command: list[str | Path] = [
        python,
        *PIP,
        "install",
        "--quiet",
        "--retries",
        "2",
        "--timeout",
        "20",
        "-r",
        requirements,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    said = ran.stdout + ran.stderr
    log = folder / f"{requirements.stem}.log"
    log.write_text(said)
    return ran.returncode == 0, said, log


def install(python: Path, folder: Path, requirements: Path) -> None:
    print(f"Installing {requirements.name} …", flush=True)
    worked, said, log = pip_install(python, folder, requirements)
    if worked:
        return
    if any(sign in said for sign in NO_NETWORK):
        raise CannotSetUp(
            "The packages could not be downloaded: the package index does not answer. Is there a network? "
            f"(Behind a proxy or a mirror, set HTTPS_PROXY or PIP_INDEX_URL.) All that pip said: {log}"
        )
    last = [line for line in said.splitlines() if line.startswith("ERROR")][-2:] or said.splitlines()[-2:]
    raise CannotSetUp(
        "pip could not install the packages:\n  " + "\n  ".join(last) + f"\nAll that it said: {log}"
    )


def install_if_possible(python: Path, folder: Path, requirements: Path) -> None:
    stamp = folder / f"{requirements.stem}.installed"
    if is_current(stamp, requirements) or not has_mariadb_headers():
        return
    print(f"Installing {requirements.name} …", flush=True)
    worked, _, log = pip_install(python, folder, requirements)
    if worked:
        stamp.write_text(fingerprint(requirements))
    else:
        print(
            f"{requirements.name} could not be installed and is left out; all that pip said: {log}",
            flush=True,
        )


def has_mariadb_headers() -> bool:
    """Whether the client library's headers are there, found as the package's own build finds them."""
    if os.environ.get("MYSQLCLIENT_CFLAGS") or shutil.which("mysql_config") or shutil.which("mariadb_config"):
        return True
    config = shutil.which("pkg-config")
    if config is None:
        return False
    found = [
        subprocess.run([config, "--exists", name], check=False).returncode == 0 for name in MARIADB_HEADERS
    ]
    return any(found)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
    except CannotSetUp as problem:
        sys.exit(f"\n{problem}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted.")
