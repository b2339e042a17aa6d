"""The Russian catalogue: whole, faithful to its placeholders, compiled, up to date, and seen on the pages."""

from __future__ import annotations

import ast
import datetime
import gettext
import html
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.db.models import fields
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from altegio_loyalty.models import Location, LoyaltyOperation, OperationAttempt, Visit
from tests.reachable import REPOSITORY, REQUIRES_ALL

pytestmark = pytest.mark.one_database

PACKAGE = REPOSITORY / "altegio_loyalty"
PO = PACKAGE / "locale" / "ru" / "LC_MESSAGES" / "django.po"
MO = PO.with_suffix(".mo")
HOW_TO_RENEW = (
    "cd altegio_loyalty && django-admin makemessages -l ru --no-location --no-obsolete, translate what is new, "
    "then django-admin compilemessages"
)

Kind, Status, Ending = LoyaltyOperation.Kind, LoyaltyOperation.Status, LoyaltyOperation.Ending

# The catalogue


@dataclass
class Entry:
    """One message of a .po file, with its texts by keyword: msgctxt, msgid, msgid_plural, msgstr, msgstr[0], …"""

    texts: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)

    @property
    def key(self) -> tuple[str | None, str, str | None]:
        return self.texts.get("msgctxt"), self.texts["msgid"], self.texts.get("msgid_plural")

    @property
    def sources(self) -> list[str]:
        return [self.texts[name] for name in ("msgid", "msgid_plural") if name in self.texts]

    @property
    def translations(self) -> list[str]:
        return [text for name, text in self.texts.items() if name.startswith("msgstr")]


def read_po(path: Path) -> Iterator[Entry]:
    """The messages of the file, the header with its empty msgid first. Fails on a line that it does not understand."""
    entry, keyword = Entry(), ""
    for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
        if not line:
            if entry.texts:
                yield entry
            entry, keyword = Entry(), ""
        elif line.startswith("#,"):
            entry.flags |= {flag.strip() for flag in line[2:].split(",")}
        elif not line.startswith("#") or line.startswith("#~"):
            found = re.fullmatch(r'(?:([a-z_]+(?:\[\d+\])?) )?(".*")', line)
            assert found, f"{path.name} holds a line that is no message: {line}"
            keyword = found[1] or keyword
            entry.texts[keyword] = entry.texts.get(keyword, "") + ast.literal_eval(found[2])


@pytest.fixture(scope="module")
def catalogue() -> list[Entry]:
    header, *entries = read_po(PO)
    assert header.texts["msgid"] == ""
    assert len(entries) > 400
    return entries


@pytest.fixture(scope="module")
def compiled() -> gettext.GNUTranslations:
    with MO.open("rb") as file:
        return gettext.GNUTranslations(file)


def placeholders(text: str) -> Counter[str]:
    return Counter(re.findall(r"%\(\w+\)[a-z]|%[a-z%]|\{\w*\}", text))


def test_every_message_is_translated(catalogue: list[Entry]) -> None:
    """With nothing left to guess: no empty text, and none that gettext took from a similar message."""
    assert [entry.key for entry in catalogue if not all(text.strip() for text in entry.translations)] == []
    assert [entry.key for entry in catalogue if "fuzzy" in entry.flags] == []


def test_a_translation_is_not_the_english_text_again(catalogue: list[Entry]) -> None:
    texts = {text for entry in catalogue for text in entry.translations}
    assert {text for text in texts if not re.search("[а-яё]", text, re.IGNORECASE)} == set()


def test_a_translation_has_the_placeholders_of_its_message(catalogue: list[Entry]) -> None:
    wrong = [
        text
        for entry in catalogue
        for text in entry.translations
        if placeholders(text) not in [placeholders(source) for source in entry.sources]
    ]
    assert wrong == []


def test_a_translation_ends_as_its_message_does(catalogue: list[Entry]) -> None:
    """Sentences stand beside each other and words inside others, so a full stop too many or too few is seen."""

    def ends(text: str) -> str:
        return text[-1] if text[-1] in ".:;?…" or text[-1].isspace() else ""

    wrong = [
        text
        for entry in catalogue
        for text in entry.translations
        if ends(text) != ends(entry.texts["msgid"]) or text[0].isspace()
    ]
    assert wrong == []


def test_a_translation_needs_no_escaping_that_its_message_does_not(catalogue: list[Entry]) -> None:
    """Templates put texts into attributes, where Django takes them for safe."""
    wrong = [
        text
        for entry in catalogue
        for text in entry.translations
        if set(text) & set("\"<>&'") - set(entry.texts["msgid"])
    ]
    assert wrong == []


def test_every_plural_has_the_three_forms_of_russian(
    catalogue: list[Entry], compiled: gettext.GNUTranslations
) -> None:
    plurals = [entry for entry in catalogue if "msgid_plural" in entry.texts]
    assert plurals
    for entry in plurals:
        forms = {name for name in entry.texts if name.startswith("msgstr")}
        assert forms == {"msgstr[0]", "msgstr[1]", "msgstr[2]"}, entry.key
    one, many = "%(count)s visit read from Altegio.", "%(count)s visits read from Altegio."
    nouns = {
        count: compiled.ngettext(one, many, count).split()[-1]
        for count in (0, 1, 2, 5, 11, 14, 21, 22, 25, 111)
    }
    assert [count for count, noun in nouns.items() if noun == "визит."] == [1, 21]
    assert [count for count, noun in nouns.items() if noun == "визита."] == [2, 22]
    assert [count for count, noun in nouns.items() if noun == "визитов."] == [0, 5, 11, 14, 25, 111]


def test_the_compiled_catalogue_is_that_of_the_source(catalogue: list[Entry], compiled: Any) -> None:
    """Django reads the .mo alone; a .po that was changed and not compiled changes nothing on the pages."""
    expected: dict[Any, str] = {}
    for entry in catalogue:
        assert "msgctxt" not in entry.texts, "teach this test about contexts"
        msgid = entry.texts["msgid"]
        if "msgid_plural" in entry.texts:
            expected |= {(msgid, int(name[7:-1])): text for name, text in entry.texts.items() if "[" in name}
        else:
            expected[msgid] = entry.texts["msgstr"]
    found = {key: text for key, text in compiled._catalog.items() if key != ""}
    assert found == expected, HOW_TO_RENEW
    # msgfmt leaves one date out of the header; what matters there is the rule of the plurals.
    header = next(read_po(PO)).texts["msgstr"]
    (rule,) = re.findall("^Plural-Forms:.*$", header, re.MULTILINE)
    assert rule in compiled._catalog[""], HOW_TO_RENEW


def test_the_catalogue_holds_just_the_messages_of_the_app(catalogue: list[Entry], tmp_path: Path) -> None:
    """Taken out of the code and the templates anew: none is missing, and none is translated that nobody says."""
    missing = [name for name in ("xgettext", "msguniq", "msgmerge") if shutil.which(name) is None]
    if missing:
        refuse = pytest.fail if REQUIRES_ALL else pytest.skip
        refuse(f"GNU gettext is not there ({', '.join(missing)}). To enable: apt-get install gettext")
    copy = tmp_path / "altegio_loyalty"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "ru"))
    (copy / "locale").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "django", "makemessages", "-l", "ru", "--no-location", "--no-obsolete"]
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    ran = subprocess.run(command, cwd=copy, env=kept, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    _header, *fresh = read_po(copy / "locale" / "ru" / "LC_MESSAGES" / "django.po")
    ours, theirs = {entry.key for entry in catalogue}, {entry.key for entry in fresh}
    assert (theirs - ours, ours - theirs) == (set(), set()), HOW_TO_RENEW


def test_the_scripts_take_their_texts_from_the_templates() -> None:
    """A script that called gettext itself would need a catalogue of its own, djangojs."""
    scripts = list((PACKAGE / "static").rglob("*.js"))
    assert scripts
    assert [path.name for path in scripts if re.search(r"\bn?p?gettext\(", path.read_text())] == []


# What a person reads

#: Russian pages have them too; the rest in Latin letters would be English that was left.
NOT_ENGLISH = {
    "Altegio",
    "CSV",
    "JSON",
    "XLSX",
    "Excel",
    "HTTP",
    "ID",
    "UTC",
    "Django",
    "EUR",
    "Europe",
    "Prague",
    "Enter",
    "Esc",
}


def english_in(text: str) -> set[str]:
    """The words in Latin letters, but for the names of placeholders, which a script fills in."""
    return set(re.findall(r"[A-Za-z]{2,}", re.sub(r"\{\w+\}", "", text))) - NOT_ENGLISH


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize("kind", Kind.values)
def test_every_sentence_is_russian(kind: str, status: str) -> None:
    location = Location(id=1, title="Центр")
    with translation.override("ru"):
        for ending in ["", *Ending.values]:
            for amount in (None, Decimal(0), Decimal("99.5"), Decimal(100), Decimal(150)):
                for refused_at in (None, timezone.now()):
                    for more in ({}, {"is_stopping": True}, {"last_error": "нет связи"}):
                        location.refused_at = refused_at
                        columns: dict[str, Any] = {
                            "applied_amount": amount,
                            "returned_amount": amount,
                            "seen_before": amount,
                            **more,
                        }
                        sentence = LoyaltyOperation(
                            kind=kind,
                            status=status,
                            ending=ending,
                            amount=Decimal(100),
                            location=location,
                            **columns,
                        ).sentence
                        assert english_in(sentence) == set(), sentence
                        assert re.search("[а-яё]", sentence), sentence


def test_what_is_in_doubt_must_not_be_repeated() -> None:
    location = Location(id=1, title="Salon")
    operation = LoyaltyOperation(
        kind=Kind.APPLY_CARD_WITHDRAWAL,
        status=Status.UNCONFIRMED,
        location=location,
        sent_at=timezone.now(),
    )
    with translation.override("ru"):
        assert operation.sentence.startswith(
            "Altegio не ответил; проверяем, не повторяйте операцию. Результат"
        )
        operation.is_stopping = True
        assert "повторно её не отправим" in operation.sentence


@pytest.mark.parametrize("model", [Location, Visit, LoyaltyOperation, OperationAttempt])
def test_the_words_of_the_models_are_russian(model: Any) -> None:
    never_shown = {
        "seen_before",
        "open_key",
        "attempt_limit",
        "fence",
        "is_stopping",
        "is_summed",
        "is_late",
        "attention",
        "look_ends_at",
        "credentials_version",
    }
    with translation.override("ru"):
        names = [model._meta.verbose_name, model._meta.verbose_name_plural]
        for column in model._meta.concrete_fields:
            if column.name not in never_shown and not column.auto_created:
                names.append(column.verbose_name)
            names += [label for _value, label in column.flatchoices]
        names += [name for _codename, name in model._meta.permissions]
        assert {str(name): english_in(str(name)) for name in names if english_in(str(name))} == {}


class Salon:
    """A salon whose every name is Russian, so that what is in Latin letters on a page is ours."""

    def __init__(self, sandbox: Any) -> None:
        ledger = sandbox.ledger
        program = ledger.add_program(title="День рождения", percent=10)
        client = ledger.add_client(name="Анна Иванова", phone="+79990000000")
        self.card = ledger.add_card(client, balance="500", title="Золотая", programs=[program])
        there = ledger.add_location(title="Центр")
        tokens = {"partner_token": sandbox.partner_token, "user_token": sandbox.user_token}
        self.location = Location.objects.create(id=there.id, title=there.title, **tokens)
        self.visits = [self._visit(ledger, client) for _number in range(2)]
        batch = uuid.uuid4()
        self.operations = [
            self._operation(number, status, batch) for number, status in enumerate(Status.values)
        ]
        self.batch = batch

    def _visit(self, ledger: Any, client: Any) -> Visit:
        there = ledger.add_visit(self.location.pk, client, lines=[("Стрижка", "300")])
        columns = {"record_id": there.record_id, "client_id": client.id, "client_name": client.name}
        return Visit.objects.create(id=there.id, location=self.location, starts_at=timezone.now(), **columns)

    def _operation(self, number: int, status: str, batch: uuid.UUID) -> LoyaltyOperation:
        is_open = status in (Status.PENDING, Status.SENDING, Status.UNCONFIRMED)
        now = timezone.now()
        operation = LoyaltyOperation.objects.create(
            kind=Kind.APPLY_CARD_WITHDRAWAL,
            location=self.location,
            visit=self.visits[1],
            record_id=self.visits[1].record_id,
            card_id=self.card.id + number,
            amount=Decimal(100),
            applied_amount=Decimal(30) if status == Status.SUCCEEDED else None,
            status=status,
            idempotency_key=str(number),
            batch=batch,
            next_attempt_at=now + datetime.timedelta(minutes=5) if is_open else None,
            finished_at=None if is_open else now,
            sent_at=now if status == Status.UNCONFIRMED else None,
            last_error="" if status == Status.SUCCEEDED else "нет связи",
        )
        OperationAttempt.objects.create(
            operation=operation, purpose="send", outcome="unknown", duration_ms=5, error="нет связи"
        )
        return operation

    def address(self, name: str) -> str:
        page, _space, which = name.partition(" ")
        visit, busy = self.visits
        in_doubt = self.operations[Status.values.index(Status.UNCONFIRMED)]
        addresses: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
            "visits": ("visit_changelist", [], {}),
            "no-visits": ("visit_changelist", [], {"q": 77}),
            "visit": ("visit_change", [visit.pk], {"read": 1}),
            "busy-visit": ("visit_change", [busy.pk], {"read": 1}),
            "batches": ("visit_batches", [], {}),
            "batch": ("visit_batch", [self.batch], {}),
            "log": ("loyaltyoperation_changelist", [], {}),
            "operation": ("loyaltyoperation_change", [in_doubt.pk], {}),
            "overview": ("loyaltyoperation_overview", [], {}),
            "wrong-overview": ("loyaltyoperation_overview", [], {"since": "x", "location": "x", "days": 8}),
            "locations": ("location_changelist", [], {}),
            "location": ("location_change", [self.location.pk], {}),
        }
        of_visits = {"visit": [visit.pk] if which == "one" else [visit.pk, busy.pk]}
        route, args, query = addresses.get(page, ("visit_operate", [page], of_visits))
        if which == "one":
            query = {**query, "read": 1}
        return f"{reverse(f'admin:altegio_loyalty_{route}', args=args)}?{urlencode(query, doseq=True)}"


@pytest.fixture
def salon(altegio_sandbox_settings: Any) -> Salon:
    return Salon(altegio_sandbox_settings)


@pytest.fixture
def russian(db: None) -> Client:
    boss = get_user_model().objects.create_superuser("директор", password="x")
    client = Client(headers={"accept-language": "ru"})
    client.force_login(boss)
    return client


def words_on(page: str) -> str:
    """What a person reads below the header of the site, or hears, or is told by a script out of an attribute."""
    content = "<" + re.split(r'<(?=\w+ class="breadcrumbs")', page)[1]
    attributes = re.findall(r'\b(?:aria-label|title|placeholder|data-[\w-]+)="([^"]*)"', content)
    sentences = [text for text in attributes if " " in text.strip() and not text.startswith("{&")]
    content = re.sub(r"<(script|style|code)\b.*?</\1>", " ", content, flags=re.DOTALL)
    content = re.sub(r"<[^>]*>", " ", content, flags=re.DOTALL)
    text = html.unescape(" ".join([content, *sentences]))
    # Django's own word for an empty choice, which a new version of it may not have translated yet.
    return text.replace(str(getattr(fields, "BLANK_CHOICE_LABEL", "---------")), "")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (
            "visits",
            ["Выберите визит", "К оплате", "Загрузка из Altegio…", "Групповые операции", "Списать баллы"],
        ),
        ("no-visits", ["Искать в Altegio"]),
        ("visit", ["Карты клиента", "Списать до 300", "баланс 500", "Отменить", "Услуга или товар"]),
        ("busy-visit", ["не повторяйте операцию", "Прекратить попытки", "Что запрашивали по этому визиту"]),
        (
            f"{Kind.APPLY_CARD_WITHDRAWAL} one",
            ["Другая сумма", "Останется баллов на карте: 200, к оплате: 0."],
        ),
        (f"{Kind.CANCEL_CARD_WITHDRAWAL} one", ["По этому визиту баллы не списаны, отменять нечего."]),
        (f"{Kind.APPLY_DISCOUNT_PROGRAM} one", ["Скидка около 30; к оплате останется около 270."]),
        (f"{Kind.APPLY_CARD_WITHDRAWAL} several", ["Сколько списать с каждой карты", "Половину"]),
        (f"{Kind.CANCEL_DISCOUNT_PROGRAM} several", ["Какую акцию отменить", "акции не применены."]),
        ("batches", ["завершено 4 из 7"]),
        ("batch", ["Завершено 4 из 7: ", "Остановить ожидающие", "баллов: 100"]),
        ("log", ["под вопросом", "Операции лояльности", "Требует внимания", "Повторить сейчас"]),
        ("operation", ["Операция не прошла", "исход неизвестен", "5 мс"]),
        ("overview", ["Что сейчас требует внимания", "Баллы по дням", "не удалось выполнить"]),
        ("wrong-overview", ["это не дата", "Вместо этого показаны последние 30 дней."]),
        ("locations", ["Филиал", "Проверить подключение"]),
        ("location", ["Токены хранятся в зашифрованном виде", "Сохранён, но не показывается"]),
    ],
)
def test_the_page_is_russian(russian: Client, salon: Salon, name: str, texts: list[str]) -> None:
    """Under Accept-Language: ru, with no English left on it."""
    response = russian.get(salon.address(name))
    assert response.status_code == 200
    words = " ".join(words_on(response.content.decode()).split())
    assert [text for text in texts if text not in words] == []
    assert english_in(words) == set()


@pytest.mark.django_db
def test_the_page_is_english_for_everyone_else(russian: Client) -> None:
    url = reverse("admin:altegio_loyalty_visit_changelist")
    response = russian.get(url, headers={"accept-language": "fr"})
    assert "Choose a visit" in response.content.decode()


@pytest.mark.django_db(transaction=True)
def test_what_a_person_did_wrong_is_told_in_russian(russian: Client, salon: Salon) -> None:
    """Messages come from the request, in its language."""
    visit = salon.visits[0]
    page = russian.post(
        reverse("admin:altegio_loyalty_visit_operate", args=[Kind.APPLY_CARD_WITHDRAWAL]),
        {
            "token": uuid.uuid4().hex,
            "visit": visit.pk,
            f"visit{visit.pk}-choice": salon.card.id,
            f"visit{visit.pk}-part": "other",
        },
    )
    assert "Введите количество баллов." in page.content.decode()


def test_a_day_never_read__read_and_empty__and_not_readable__are_three_sentences_in_russian() -> None:
    with translation.override("ru"):
        told = [
            translation.gettext(
                "This day is not read from Altegio yet, so nobody here knows whether it has visits."
            ),
            translation.gettext(
                "Altegio could not be read, so nobody here knows whether this day has visits."
            ),
            translation.gettext("Read from Altegio: this day has no visits."),
        ]
    assert ["неизвестно" in text for text in told] == [True, True, False]
    assert ["не удалось" in text for text in told] == [False, True, False]
    assert ["визитов в этот день нет" in text for text in told] == [False, False, True]
