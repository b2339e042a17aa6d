"""What an operation's state means, as one plain sentence for the person at the desk, in that person's language."""

import datetime
import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext_noop

from altegio_loyalty import kinds, reasons
from altegio_loyalty.moments import as_local, name_of
from altegio_loyalty.reasons import Reason
from altegio_loyalty.states import Ending, Kind, Status
from altegio_loyalty.texts import gettext as _

#: An operation of the log; its model stands on this module, so it has no name here.
Told = Any

#: What changes the direction of the text that follows it.
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
#: The currencies of ISO 4217 that have no decimals, and those that have three.
_WITHOUT_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_WITH_THREE = "BHD IQD JOD KWD LYD OMR TND"
_DECIMALS = dict.fromkeys(_WITHOUT_DECIMALS.split(), 0) | dict.fromkeys(_WITH_THREE.split(), 3)


def decimals_of(currency: str) -> int:
    """How many decimals amounts in the currency have."""
    return _DECIMALS.get(currency, 2)


def points(amount: Decimal | None, currency: str = "") -> str:
    """`100` for 100.00 and `99.50` for 99.50, in the person's number format, with the currency where one is named.

    No fraction that is there is hidden, whatever the currency.
    """
    if amount is None:
        return "?"
    decimals = 0 if amount == int(amount) else decimals_of(currency) or 2
    text = number_format(amount, decimal_pos=decimals)
    return f"{text}\N{NO-BREAK SPACE}{currency}" if currency else text


def isolated(name: str) -> str:
    """A name from outside that cannot turn around what stands beside it: an amount read backwards is another amount."""
    name = _DIRECTIONS.sub("", name)
    is_right_to_left = any(unicodedata.bidirectional(letter) in ("R", "AL", "AN") for letter in name)
    return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}" if is_right_to_left else name


def clock(moment: datetime.datetime | None, zone: datetime.tzinfo | None = None) -> str:
    """The time of day in the zone, with seconds."""
    return date_format(as_local(moment, zone), "H:i:s") if moment else "?"


def exact_time(moment: datetime.datetime | None, location: Any = None) -> str:
    """The date, the time with seconds and the zone, which is the location's, or without one the reader's."""
    if moment is None:
        return ""
    zone = location.zone if location else timezone.get_current_timezone()
    return f"{date_format(as_local(moment, zone), 'SHORT_DATE_FORMAT')} {clock(moment, zone)} {name_of(zone)}"


def zone_note(location: Any) -> str:
    """The name of the location's time zone, after a space, where that is another than the reader's; else empty."""
    zone = location.zone
    return "" if str(zone) == timezone.get_current_timezone_name() else f" {name_of(zone)}"


def reason(text: str) -> str:
    """A stored reason in the person's language; what Altegio or a person said stays as it is."""
    kept = Reason.read(text)
    return f"{in_words(kept)} {kept.detail}".strip() if kept else _of_sentence(text)


def in_words(kept: Reason, about: str = "") -> str:
    """A reason in the person's language, without the detail for developers; `about` is what was read, as in `_HINTS`."""
    http, said = kept.figures.get("http", "?"), _of_sentence(kept.said)
    if kept.code in ("server_error", "not_shown"):
        code = "redirected" if http.startswith("3") else kept.code
        more = "" if said in ("", f"HTTP {http}") else f": {said}"
        return f"{_(_TEMPLATES[code])} (HTTP {http}{more})"
    hint = _HINTS.get(f"{about} {http}", _HINTS.get(http))
    if kept.code in ("refused", "unauthorized") and hint:
        hint = _(hint)  # what is missing, where the status tells
        return f"{hint} ({said})" if said else hint
    try:
        # The amounts are formatted for whoever reads them.
        amounts = {name: points(Decimal(value)) for name, value in kept.figures.items() if name != "http"}
        return _(_TEMPLATES[kept.code]) % amounts
    except (KeyError, ArithmeticError):  # a newer release wrote it
        return said or kept.code


def _why(text: str) -> str:
    """A stored reason as the end of a sentence for the desk; the details for developers stand in the log."""
    kept = Reason.read(text)
    said = in_words(kept) if kept else _of_sentence(text)
    return said if not said or said.endswith((".", "!", "?")) else f"{said}."


def _of_sentence(text: str) -> str:
    """A sentence of ours, kept in English: those of the client, and all that earlier releases kept."""
    for known, pattern in _PATTERNS.items():
        if found := pattern.match(text):
            return _(known) % found.groupdict() + text[found.end() :]
    return text


def sentence_of(operation: Told) -> str:
    """What happened, or is happening, to the operation."""
    tell = _SENTENCES.get(operation.status)
    if tell and kinds.is_known(operation.kind):
        return tell(operation)
    name = operation.status if kinds.is_known(operation.kind) else operation.kind
    text = _("“%(name)s” is unknown to this release of the site; nothing is sent for it here.")
    return text % {"name": name}


def _succeeded(operation: Told) -> str:
    is_word = operation.ending == Ending.DECIDED_HAPPENED
    text = _("Done: a person confirmed that it happened.") if is_word else _DONE[operation.kind](operation)
    kept = Reason.read(operation.discrepancy)
    if kept and kept.code == reasons.STILL_SHOWN:
        return _("Altegio accepted the cancel, but the visit still showed what was to be taken back.")
    if operation.undone_at is None or operation.applied_amount == 0:
        return text
    since = date_format(as_local(operation.undone_at, operation.location.zone), "j E H:i")
    return _("%(sentence)s It is no longer on the visit since %(time)s.") % {"sentence": text, "time": since}


def _withdrawn(operation: Told) -> str:
    taken, asked = operation.applied_amount, operation.amount
    if taken is None or asked is None:
        return _("Done, but Altegio's answer does not show how many points were taken. Look at the visit.")
    if taken == asked:
        text = _("Done: %(taken)s points taken.")
    elif taken == 0:
        text = _(
            "Nothing was taken (0 of %(asked)s points): this happens when the card is empty or nothing is left to pay."
        )
    elif taken < asked:
        text = _("Less than asked: %(taken)s of %(asked)s points taken.")
    else:
        text = _("The visit showed more than was asked: %(taken)s points instead of %(asked)s.")
    more = _("A person must look.") if taken > asked and operation.is_flagged else ""
    return f"{text} {more}".strip() % {"taken": points(taken), "asked": points(asked)}


def _given_back(operation: Told) -> str:
    if operation.ending == Ending.NOTHING_TO_CANCEL:
        return _("Nothing to cancel: the visit showed no points taken from this card.")
    if not operation.returned_amount:  # 0: the answer still showed them all, and a later reading none
        return _("Done: the points are back on the card.")
    return _("Done: %(returned)s points given back.") % {"returned": points(operation.returned_amount)}


def _promotion_applied(operation: Told) -> str:
    if operation.applied_amount is None:
        return _("Done: the promotion is applied.")
    if operation.applied_amount == 0:
        return _("Nothing was taken off: Altegio accepted the promotion, but it did not reduce the bill.")
    taken = points(operation.applied_amount)
    return _("Done: the promotion is applied, %(taken)s off the bill.") % {"taken": taken}


def _promotion_cancelled(operation: Told) -> str:
    if operation.ending == Ending.NOTHING_TO_CANCEL:
        return _("Nothing to take back: the visit did not show this promotion.")
    return _("Done: the promotion is taken back.")


def _rejected(operation: Told) -> str:
    text = _("Refused by Altegio, nothing was changed: %(reason)s")
    if operation.ending == Ending.ALREADY_THERE:
        text = _("Not done again: the visit already showed this promotion.")
        if operation.traits.moves_points:
            text = _("Not done again: the visit already showed %(there)s points taken from this card.")
    return text % {"reason": _why(operation.last_error), "there": points(operation.seen_before)}


def _pending(operation: Told) -> str:
    if not operation.location.is_active:
        return _("Not done yet: this location is switched off. It goes on when it is switched on again.")
    if operation.location.is_paused:
        why = _why(operation.location.refused_reason or _HINTS["401"])
        return _("Not done yet: %(reason)s It goes on when this location's tokens work.") % {"reason": why}
    if not operation.last_error:
        return _("Waiting to be sent.")
    zone, why = operation.location.zone, _why(operation.last_error)
    at, until = clock(operation.next_attempt_at, zone), clock(operation.expires_at, zone)
    text = _("Not done yet, it goes on by itself at %(time)s: %(reason)s") % {"reason": why, "time": at}
    limit = _("It is tried until %(time)s at the latest; then a person decides.") % {"time": until}
    return f"{text} {limit}" if operation.expires_at else text


def _sending(operation: Told) -> str:
    ends_at = operation.next_attempt_at
    if ends_at is not None and ends_at <= timezone.now():
        return _("It is not written down what became of it; that is looked up by itself. Do not repeat it.")
    text = _("Being sent now. Without a result by %(time)s it is looked up by itself; do not repeat it.")
    return text % {"time": clock(ends_at, operation.location.zone)}


def _unconfirmed(operation: Told) -> str:
    if operation.sent_at is None and operation.unanswered_at is None:
        return _(
            "The program that was to send it stopped before anything was sent; that is checked once more. "
            "Do not repeat it."
        )
    kept = Reason.read(operation.last_error)
    # What Altegio did answer leaves it open whether it happened.
    is_answered = kept and kept.code in ("server_error", "unreadable_answer", "not_shown", "row_not_known")
    why = in_words(kept) if kept and is_answered else _("Altegio did not answer.")
    if not operation.location.is_working:
        text = _(
            "%(reason)s, and nobody can check while this location is paused or switched off. "
            "Do not repeat it; look in Altegio."
        )
    elif kept and kept.code == "row_not_known":
        text = _(
            "What Altegio shows does not tell whether it happened; do not repeat it, look there: %(reason)s"
        )
        return text % {"reason": in_words(kept)}
    elif operation.is_stopping:
        text = _("%(reason)s; we are checking whether it happened, and will not send it again.")
    else:
        text = _("%(reason)s; we are checking, do not repeat it.")
    text %= {"reason": why.rstrip(".")}
    return f"{text} {_horizon(operation)}" if operation.location.is_working else text


def _horizon(operation: Told) -> str:
    """Until when a doubt lasts, and what to do at the till meanwhile."""
    if operation.settles_at > timezone.now():
        text = _("It is clear at %(time)s or soon after, if Altegio can be read then.")
    else:
        text = _("It is clear as soon as Altegio can be read.")
    meanwhile = _("If the client cannot wait: look in Altegio, and take only what is left to pay there.")
    return f"{text} {meanwhile}" % {"time": clock(operation.settles_at, operation.location.zone)}


def _failed(operation: Told) -> str:
    text = _("Not done, and no longer tried: %(reason)s") % {"reason": _why(operation.last_error)}
    if operation.ending == Ending.DECIDED_DID_NOT_HAPPEN:
        text = _("Not done: a person confirmed that it did not happen.")
    if operation.holds_card_until is None:
        return text
    until = clock(operation.holds_card_until, operation.location.zone)
    return _(
        "%(sentence)s Its call may still arrive: until %(time)s nothing else can be asked for with this card here."
    ) % {"sentence": text, "time": until}


_DONE: Mapping[str, Callable[[Told], str]] = {
    Kind.APPLY_CARD_WITHDRAWAL: _withdrawn,
    Kind.CANCEL_CARD_WITHDRAWAL: _given_back,
    Kind.APPLY_DISCOUNT_PROGRAM: _promotion_applied,
    Kind.CANCEL_DISCOUNT_PROGRAM: _promotion_cancelled,
}
kinds.one_for_each("wording", _DONE)
_SENTENCES: Mapping[str, Callable[[Told], str]] = {
    Status.PENDING: _pending,
    Status.SENDING: _sending,
    Status.UNCONFIRMED: _unconfirmed,
    Status.SUCCEEDED: _succeeded,
    Status.REJECTED: _rejected,
    Status.FAILED: _failed,
    Status.ABANDONED: lambda operation: _("Stopped before it took effect: nothing was changed."),
}

#: What a refusal means, by its HTTP status, or by what was read and the status where that is something else.
_HINTS = {
    "401": gettext_noop("Altegio does not accept the tokens of this location."),
    "402": gettext_noop("The location's Altegio licence does not cover this."),
    "403": gettext_noop("The user of the token may not use loyalty in this location."),
    "404": gettext_noop("Altegio does not know this visit, card or promotion in this location."),
    "login 401": gettext_noop("Altegio does not accept this login and password, or the partner token."),
    "cards 401": gettext_noop("Altegio does not let these tokens read the cards of clients."),
    "cards 403": gettext_noop("The user of the token may not see the cards of clients."),
    "cards 404": gettext_noop("Altegio does not know the client whose cards were asked for."),
    "location 403": gettext_noop("The user of the token may not see this location, or not this part of it."),
    "location 404": gettext_noop("Altegio does not know this location, or not for the user of the token."),
}
#: What a code says. Of any other code, what the client or Altegio said is shown.
_TEMPLATES = {
    "server_error": gettext_noop("Altegio had an error of its own."),
    "redirected": gettext_noop("The address in API_URL points to another one; most likely it is wrong."),
    "not_shown": gettext_noop("Altegio answered with success, but its answer does not show the visit."),
    "rate_limited": gettext_noop("Altegio's limit of requests is used up."),  # the wait it names is of no use
    reasons.SWITCHED_OFF: gettext_noop("This location is switched off."),
    reasons.DAY_NOT_OVER: gettext_noop("The day is not over, or what was asked for on it may still arrive."),
    reasons.VISITS_NOT_READ: gettext_noop(
        "%(count)s visits could not be compared: an operation is not finished, or Altegio does not show the visit."
    ),
    reasons.LIST_NOT_READ: gettext_noop(
        "Altegio's list of withdrawals cannot be read: those that the log does not know were not looked for."
    ),
    reasons.LIST_UNREADABLE: gettext_noop(
        "Altegio's list of withdrawals came, but nobody can read it. What the log knows was compared visit by visit; "
        "what it does not know is looked for when the list can be read."
    ),
    reasons.TO_BE_CONTINUED: gettext_noop(
        "There was no time left, or no request; the next run goes on where it stopped."
    ),
    reasons.WORKER_STOPPED: gettext_noop("The worker stopped before it could report."),
    reasons.NOT_IN_TIME: gettext_noop("It was not tried in time."),
    reasons.STILL_SHOWN: gettext_noop("Altegio answered with success, but the visit still shows %(there)s."),
    reasons.BEYOND_THE_LOG: gettext_noop(
        "The visit shows %(there)s from this card, the log explains %(explained)s."
    ),
    reasons.LESS_THAN_THE_LOG: gettext_noop(
        "The visit shows only %(there)s from this card, the log says %(explained)s. "
        "The rest was given back in Altegio, or the line that it paid is gone."
    ),
    reasons.NOT_SHOWN_YET: gettext_noop(
        "Altegio does not show yet what was done on this visit moments ago; it is looked at again first."
    ),
}
#: What the client says in English, and what earlier releases kept in the log and with a location.
_SENTENCES_KEPT = (
    *_HINTS.values(),
    *_TEMPLATES.values(),
    gettext_noop("Altegio could not be reached; nothing was sent."),
    gettext_noop(
        "The certificate of %(host)s is not trusted; nothing was sent. "
        "Behind a proxy that inspects TLS, set CA_BUNDLE to the file of its certificates."
    ),
    gettext_noop("Altegio did not answer."),
    gettext_noop("Altegio's answer could not be read."),
    gettext_noop("The visit shows a loyalty row that nobody can judge."),
    gettext_noop("Altegio's answer is not JSON."),
    gettext_noop("Altegio's answer holds more than can be read."),
    gettext_noop("Altegio refused."),
    gettext_noop("This release does not know version %(version)s of the API."),
    gettext_noop("A token of this location is missing."),
    gettext_noop("LOOPBACK_ONLY is set, and API_URL or PROXY_URL is not on this machine."),
    gettext_noop(
        "The token is stored, but none of ENCRYPTION_KEYS can read it. Enter it again, or restore the old key."
    ),
    gettext_noop("The stored token is not of this location and field. Enter it again."),
    gettext_noop("What is stored is no encrypted token. Enter it again."),
    gettext_noop("The tokens hold characters that cannot stand in a request; enter them again."),
    gettext_noop("This site has used up its requests to Altegio for the moment."),
    gettext_noop("This site has used up its requests to Altegio for %(seconds)s seconds."),
    gettext_noop("The requests that this site may send for this are used up for %(seconds)s seconds."),
    gettext_noop("You have read from Altegio as often as one person may; again in %(seconds)s seconds."),
    gettext_noop("Altegio said that its limit is used up: nothing is sent for another %(seconds)s seconds."),
    gettext_noop("Altegio's answer is neither an object nor a list."),
    gettext_noop("Altegio's answer says neither success nor failure."),
    gettext_noop("Altegio's answer says both that it succeeded and that it failed."),
    gettext_noop("Altegio's answer is larger than %(size)s bytes."),
    gettext_noop(
        "HTTP %(status)s without Altegio's own words: perhaps a gateway or a firewall in between answered."
    ),
    gettext_noop("Altegio's answer could not be read: %(why)s."),
    gettext_noop("Altegio answered without success."),
    gettext_noop("Altegio asks for a second factor; take the user token from its own screens."),
    gettext_noop(
        "%(taken)s of %(asked)s were found, but nobody had looked at the visit before: "
        "they may have been there already."
    ),
)
_PATTERNS = {
    text: re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+?)", re.escape(text)) + r"(?!\S)")
    for text in _SENTENCES_KEPT
}
