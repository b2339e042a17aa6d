# make demo     sets everything up and runs the demo; Ctrl-C ends it
# make test     sets everything up and runs the tests
# make chaos    attacks the promise with real processes: make chaos ARGS="--database postgres --broker redis --seed 7"
#               on several hosts, as root on Linux: make chaos ARGS="--hosts 3 --database postgres --broker redis"
# make mutants  changes the app carelessly and names what no test noticed: make mutants ARGS="--sample 60 --seed 7 delivery"
# make hosts    installs the wheel into some 30 host sites and walks each: make hosts ARGS="Wagtail MariaDB"
# make bench    measures the app against floors and peers, in turn: make bench ARGS="--quick draining"
# make docs     builds the site of the docs into var/docs, a warning being an error
# make dist     builds the wheel and the source package into dist and checks them
# They need only Python 3.11 or newer. They keep all they make in .venv, .venv-docs, .venv-bench and var.

PORT ?= 8000
SANDBOX_PORT ?= 8100
PYTHON ?= python3
ARGS ?=
export PORT SANDBOX_PORT

# The Python asked for; where none was, the first in the PATH that is new enough.
CANDIDATES = $(PYTHON) $(if $(filter file,$(origin PYTHON)),python3.14 python3.13 python3.12 python3.11)

define FIND_PYTHON
found=; seen=; \
for name in $(CANDIDATES); do \
	version=`"$$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null` || continue; \
	seen="$$seen $$name is Python $$version."; \
	if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then found=$$name; break; fi; \
done; \
if [ -z "$$found" ]; then \
	echo "Python 3.11 or newer is needed.$${seen:- Found none called $(CANDIDATES).}" >&2; \
	echo "Install one (https://www.python.org/downloads/), or name it: make $@ PYTHON=/path/to/python3" >&2; \
	exit 1; \
fi
endef

.PHONY: help demo venv test chaos mutants hosts bench docs dist clean

help:
	@sed -n 's/^# \(make\)/\1/p' Makefile

demo:
	@$(FIND_PYTHON); "$$found" project/demo/bootstrap.py .venv requirements.txt
	@DEBUG=true exec .venv/bin/python manage.py demo --port "$(PORT)" --sandbox-port "$(SANDBOX_PORT)"

# All that the tests and the checks need, without running them.
venv:
	@$(FIND_PYTHON); "$$found" project/demo/bootstrap.py .venv requirements-dev.txt requirements-mariadb.txt

test: venv
	@exec .venv/bin/python -m tests $(ARGS)

# The long attack on the promise, with real processes.
chaos: venv
	@exec .venv/bin/python -m tests.chaos $(ARGS)

# Careless changes, one at a time, each of which some test must notice.
mutants:
	@$(FIND_PYTHON); "$$found" project/demo/bootstrap.py .venv requirements-mutants.txt
	@exec .venv/bin/python -m tests.mutants $(ARGS)

# The wheel in other people's sites.
hosts: venv
	@exec .venv/bin/python -m tests.hosts $(ARGS)

# Figures, each over a floor or a peer of the same run; docs/performance.md has the last ones.
bench:
	@$(FIND_PYTHON); "$$found" project/demo/bootstrap.py .venv-bench requirements-bench.txt
	@exec .venv-bench/bin/python benchmarks/measured $(ARGS)

docs:
	@$(FIND_PYTHON); "$$found" project/demo/bootstrap.py .venv-docs requirements-docs.txt
	@.venv-docs/bin/python -m sphinx --fail-on-warning --keep-going --quiet -c docs . var/docs && echo "Open var/docs/docs/index.html"

dist: venv
	@rm -rf dist
	@.venv/bin/python -m build --outdir dist . >/dev/null && .venv/bin/python -m twine check --strict dist/*

clean:
	rm -rf .venv .venv-docs .venv-bench var
