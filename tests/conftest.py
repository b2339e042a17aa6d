"""What every test has: the sandbox's fixtures, a browser, and skipping of what needs a server that is not there."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.test import TransactionTestCase
from django.utils import translation

from tests import reachable

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest_plugins = ["altegio_loyalty.sandbox.pytest_plugin", "tests.skips", "tests.emptying", "tests.spoilings"]

DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}
ONE_DATABASE_IS_ENOUGH = {"one_database", "redis", "rabbitmq", "browser", "contract", "axe"}
#: Far above what a busy machine needs: a page that is as expected ends the wait at once.
PATIENCE_MS = 60_000
MARKER_OF_ENGINE = {"postgresql": "postgres", "mysql": "mariadb", "sqlite3": "sqlite"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--only-database", action="store_true", help="only the tests that touch the database")


def pytest_configure() -> None:
    # A shell that starts them in the background has the tests ignore Ctrl-C, and whatever they start.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _touches_database(item: pytest.Item) -> bool:
    fixtures = set(getattr(item, "fixturenames", ()))
    its_class = getattr(item, "cls", None)
    of_django = isinstance(its_class, type) and issubclass(its_class, TransactionTestCase)
    return bool(item.get_closest_marker("django_db") or fixtures & DATABASE_FIXTURES or of_django)


def _is_for_this_run(item: pytest.Item, config: pytest.Config) -> bool:
    markers = {marker.name for marker in item.iter_markers()}
    engine = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    wanted_engines = markers & set(MARKER_OF_ENGINE.values())
    if wanted_engines and MARKER_OF_ENGINE[engine] not in wanted_engines:
        return False
    if config.getoption("--only-database"):
        return _touches_database(item) and not markers & ONE_DATABASE_IS_ENOUGH
    return True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of another database, or of none where only those are asked for, are not part of this run at all."""
    kept = [item for item in items if _is_for_this_run(item, config)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_runtest_setup(item: pytest.Item) -> None:
    for needed in reachable.ALL:
        if item.get_closest_marker(needed.marker) and needed.why_not():
            refuse = pytest.fail if reachable.REQUIRES_ALL else pytest.skip
            refuse(needed.refusal())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With REQUIRE_ALL a skipped test is a failure, whatever its reason."""
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if reachable.REQUIRES_ALL and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("\nREQUIRE_ALL is set: no test may be skipped.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def a_broker_that_is_tried() -> None:
    """A broker that failed in one test is not left alone in the next."""
    from altegio_loyalty import tasks

    tasks._broker.silent_until = 0.0


@pytest.fixture(autouse=True)
def a_database_that_is_tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for one that fails for good."""
    monkeypatch.setattr("altegio_loyalty.delivery.claims.PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture(autouse=True)
def the_language_of_the_site() -> Iterator[None]:
    """A test that speaks another language leaves none of it to the next."""
    yield
    translation.deactivate()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium. Mark the test with `browser`."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)

    # Playwright runs an event loop in this thread, which Django takes for a reason to refuse the database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=reachable.chromium(), args=quiet)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A new window without cookies, wide as a desk's screen."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()
