"""The wheel in other people's sites: `make hosts`, or `make hosts ARGS="Wagtail bare"` for those of these names.

Builds the wheel, makes a Python for each set of packages, and has each host of the matrix walk the story. Says at the end
what each came to; exit 1 where one fell short.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.hosts.matrix import COMMON, HOSTS, Host
from tests.hosts.places import database_of
from tests.reachable import REPOSITORY

STORY = Path(__file__).parent / "story.py"
PYTHONS = REPOSITORY / "var" / "hosts"
#: Of one host's story.
PATIENCE = 300


class FellShort(Exception):
    """What the host said."""


def run(command: list[str], cwd: Path, **environment: str) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    kept |= {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "POSTGRES", "MARIADB"))
    }
    ran = subprocess.run(
        command,
        cwd=cwd,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if ran.returncode:
        raise FellShort(f"{' '.join(command)}\n{ran.stdout[-2000:]}\n{ran.stderr[-6000:]}")
    return ran.stdout


def build_wheel(folder: Path) -> Path:
    run([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(REPOSITORY)], REPOSITORY)
    return next(folder.glob("*.whl"))


def python_with(packages: tuple[str, ...], wheel: Path) -> str:
    """A Python that has the wheel, new, and these packages, which are kept from one run to the next."""
    name = "-".join(sorted(packages)).replace("[", "_").replace("]", "").replace(",", "_") or "nothing"
    python = PYTHONS / name / "bin" / "python"
    if not python.exists():
        run([sys.executable, "-m", "venv", str(PYTHONS / name)], REPOSITORY)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, *packages, str(wheel)], REPOSITORY)
    run([*pip, "--force-reinstall", "--no-deps", str(wheel)], REPOSITORY)
    return str(python)


def make_project(host: Host, python: str, folder: Path, database: str) -> None:
    """The host as its own tool makes it, and what it adds."""
    run([python, *host.start], folder)
    for path, text in host.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    if host.urls:
        (folder / "mysite" / "urls.py").write_text(host.urls, encoding="utf-8")
    settings = folder / (host.settings_module.replace(".", "/") + ".py")
    with settings.open("a", encoding="utf-8") as file:
        file.write(f"\n{database}\n{COMMON}\n{host.settings}\n")


def visit(host: Host, wheel: Path) -> str:
    """What the host's story came to. Raises `FellShort`."""
    python = python_with(host.packages, wheel)
    with tempfile.TemporaryDirectory(prefix="altegio_host_") as name, database_of(host.database) as database:
        folder = Path(name)
        make_project(host, python, folder, database)
        at = {
            "DJANGO_SETTINGS_MODULE": host.settings_module,
            "PYTHONPATH": name,
            "HOST_WARNINGS": ",".join(host.warnings),
        }
        at |= {"HOST_SKIPS": ",".join(host.skip), "HOST_STEPS": ",".join(host.only)}
        if own := [path.split("/")[0] for path in host.files if path.endswith("migrations/__init__.py")]:
            run([python, "manage.py", "makemigrations", *own], folder, **at)
        if "STATIC_ROOT" in host.settings:
            run([python, "manage.py", "collectstatic", "--noinput"], folder, **at)
        return run([python, "-W", "error:::altegio_loyalty", str(STORY)], folder, **at).strip()


def main(wanted: list[str]) -> int:
    hosts = [
        host for host in HOSTS if not wanted or any(word.lower() in host.name.lower() for word in wanted)
    ]
    fell_short = []
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        for host in hosts:
            began = time.monotonic()
            try:
                said = visit(host, wheel)
            except (FellShort, subprocess.TimeoutExpired) as error:
                fell_short.append(host.name)
                said = f"FELL SHORT\n{error}"
            print(f"{host.name}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{len(hosts) - len(fell_short)} passed, {len(fell_short)} failed")
    if fell_short:
        print("Fell short: " + "; ".join(fell_short))
    return bool(fell_short)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
