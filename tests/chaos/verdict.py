"""The ledger against the log: what was lost, doubled, told wrongly, or left open for ever."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from altegio_loyalty.delivery.explained import is_done, not_undone, taken_by
from altegio_loyalty.models import BooksItem, LoyaltyOperation
from altegio_loyalty.sandbox import Sandbox
from tests.chaos.plan import CANCEL, PROMOTE, TAKE_BACK, WITHDRAW, Story

Status, Ending = LoyaltyOperation.Status, LoyaltyOperation.Ending
LOST, DOUBLED, WRONG, OPEN = "lost", "doubled", "told wrongly", "open for ever"
KINDS = (LOST, DOUBLED, WRONG, OPEN)


@dataclass
class Violation:
    kind: str
    what: str
    visit_id: int


@dataclass
class Verdict:
    violations: list[Violation] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, what: str, visit_id: int) -> None:
        self.violations.append(Violation(kind, what, visit_id))

    def count(self, kind: str) -> int:
        return sum(violation.kind == kind for violation in self.violations)


class Judge:
    def __init__(self, sandbox: Sandbox, stories: list[Story], journals: dict[str, set[int]]) -> None:
        self.sandbox, self.stories, self.journals = sandbox, stories, journals
        self.effects: dict[int, list[Any]] = defaultdict(list)
        self.clicks: dict[int, list[Any]] = defaultdict(list)
        for effect in sandbox.effects:
            (self.effects if effect.by == "api" else self.clicks)[effect.visit_id].append(effect)
        self.rows: dict[int, list[LoyaltyOperation]] = defaultdict(list)
        for operation in LoyaltyOperation.objects.order_by("pk").prefetch_related("attempts"):
            self.rows[operation.visit_id].append(operation)
        self.verdict = Verdict()

    def judge(self) -> Verdict:
        for story in self.stories:
            rows = self.rows[story.visit_id]
            self._check_rows(story, rows)
            if story.share == "clicked":
                self._check_counts(story, rows)
            else:
                self._check_order(story, rows)
        return self.verdict

    def _check_rows(self, story: Story, rows: list[LoyaltyOperation]) -> None:
        """Each request has its one row, each row its request, and the row is the one that the requester was shown."""
        by_key = {row.idempotency_key: row.pk for row in rows}
        for request in story.requests:
            told = self.journals.get(request.key, set())
            if request.key not in by_key:
                self.verdict.add(LOST, f"{request.key} has no row in the log", story.visit_id)
            elif told - {by_key[request.key]}:
                self.verdict.add(WRONG, f"{request.key} was told to be {told}", story.visit_id)
        if len(rows) > len(story.requests):
            self.verdict.add(DOUBLED, "more rows than requests", story.visit_id)
        for row in rows:
            self.verdict.states[row.status] += 1
            self.verdict.notes["of them found by a look-up"] += row.ending == Ending.FOUND
            self.verdict.notes["of them ever in doubt"] += is_doubted(row)
            self.verdict.notes["flagged for a person"] += bool(row.discrepancy)
            if row.is_open:
                self.verdict.add(OPEN, f"operation {row.pk} is {row.status}", story.visit_id)

    def _check_order(self, story: Story, rows: list[LoyaltyOperation]) -> None:
        """Operations on a visit and card are one at a time, so the effects must follow each other as the rows say."""
        claims = [row for row in rows if claims_effect(row)]
        effects = self.effects[story.visit_id]
        said, seen = [str(row.kind) for row in claims], [effect.kind for effect in effects]
        if story.share == "taken" and seen:
            self.verdict.add(DOUBLED, "sent although the visit showed it before", story.visit_id)
        matcher = difflib.SequenceMatcher(a=said, b=seen, autojunk=False)
        for tag, a, b, c, d in matcher.get_opcodes():
            if tag == "equal":
                for row, effect in zip(claims[a:b], effects[c:d], strict=True):
                    self._check_amount(row, effect, story)
                continue
            for row in claims[a:b]:
                self.verdict.add(LOST, f"operation {row.pk} is said to be done", story.visit_id)
            for effect in effects[c:d]:
                self._explain_surplus(effect, rows, story)

    def _explain_surplus(self, effect: Any, rows: list[LoyaltyOperation], story: Story) -> None:
        denied = [
            row for row in rows if row.kind == effect.kind and not row.is_open and not claims_effect(row)
        ]
        asked = [row for row in denied if row.amount is None or row.amount >= effect.amount]
        kind = WRONG if asked else DOUBLED
        self.verdict.add(kind, f"{effect.kind} of {effect.amount} that the log does not show", story.visit_id)

    def _check_amount(self, row: LoyaltyOperation, effect: Any, story: Story) -> None:
        told = row.applied_amount if row.kind in (WITHDRAW, PROMOTE) else row.returned_amount
        if told is None:
            self.verdict.notes["done, without a figure"] += 1
        elif told != effect.amount:
            self.verdict.add(WRONG, f"operation {row.pk}: {told} told, {effect.amount} done", story.visit_id)

    def _check_counts(self, story: Story, rows: list[LoyaltyOperation]) -> None:
        """With clicks on the same visit and card a doubt cannot always be settled right: the API does not say who did it.

        What is left to hold: no more effects than operations that claim or may have had one, and no success that
        Altegio itself confirmed without an effect.
        """
        seen = Counter(effect.kind for effect in self.effects[story.visit_id])
        for kind in (WITHDRAW, CANCEL, PROMOTE, TAKE_BACK):
            of_kind = [row for row in rows if row.kind == kind]
            doubted = [row for row in of_kind if is_doubted(row)]
            # A doubt that was settled by somebody's click may have been sent again, once for each attempt.
            doubted_calls = sum(doubts(row) for row in doubted)
            sure = [row for row in of_kind if claims_effect(row) and row not in doubted]
            if seen[kind] > len(sure) + doubted_calls + sum(claims_effect(row) for row in doubted):
                self.verdict.add(DOUBLED, f"{seen[kind]} times {kind}", story.visit_id)
            if kind in (WITHDRAW, PROMOTE) and seen[kind] < len([row for row in sure if row.applied_amount]):
                self.verdict.add(LOST, f"{seen[kind]} times {kind}, {len(sure)} told", story.visit_id)
        self.verdict.notes["on visits with clicks"] += len(rows)

    def evidence(self, violation: Violation) -> str:
        """All that is known of a visit."""
        lines = [f"{violation.kind.upper()}: {violation.what} (visit {violation.visit_id})"]
        for row in self.rows[violation.visit_id]:
            lines.append(
                f"  operation {row.pk} {row.idempotency_key} {row.kind} asked {row.amount} applied {row.applied_amount}"
                f" returned {row.returned_amount}: {row.status} {row.ending} attempts {row.attempt_count}"
                f" created {row.created_at:%T.%f} sent {row.sent_at} unanswered {row.unanswered_at}"
                f" finished {row.finished_at} {row.last_error} {row.discrepancy}"
            )
            lines += [
                f"    {attempt.started_at:%T.%f} {attempt.purpose} {attempt.duration_ms} ms {attempt.http_status}"
                f" {attempt.outcome} {attempt.error}"
                for attempt in row.attempts.all()
            ]
        lines += [
            f"  effect {effect.at:%T.%f} {effect.kind} {effect.amount} by {effect.by}"
            for effect in [*self.effects[violation.visit_id], *self.clicks[violation.visit_id]]
        ]
        for request in self.sandbox.requests:
            body = request.body if isinstance(request.body, dict) else {}
            if body.get("visit_id") == violation.visit_id or request.path.endswith(f"/{violation.visit_id}"):
                lines.append(
                    f"  request {request.at:%T.%f} {request.method} {request.status} {request.fault}"
                )
        return "\n".join(lines)


def claims_effect(row: LoyaltyOperation) -> bool:
    """Whether the log says that this operation changed the visit."""
    if row.status != Status.SUCCEEDED or row.ending == Ending.NOTHING_TO_CANCEL:
        return False
    return row.applied_amount != 0 and row.returned_amount != 0


def doubts(row: LoyaltyOperation) -> int:
    return sum(attempt.purpose == "send" and attempt.outcome == "unknown" for attempt in row.attempts.all())


def is_doubted(row: LoyaltyOperation) -> bool:
    return doubts(row) > 0


#: Visit, card, promotion or 0, by the log, in the ledger.
Difference = tuple[int, int, int, Decimal, Decimal]


def named() -> set[Difference]:
    """What the open items say."""
    return {
        (item.visit_id, item.card_id, item.program_id, item.by_log, item.by_altegio)
        for item in BooksItem.objects.filter(closed_at=None)
    }


def differences(sandbox: Sandbox, stories: list[Story]) -> Iterator[Difference]:
    """Wherever the ledger shows something else than the log explains."""
    for story in stories:
        where = LoyaltyOperation.objects.filter(visit_id=story.visit_id).with_last_event()
        rows = list(where.order_by("last_event", "pk"))
        taken = not_undone(row for row in rows if is_done(row) and row.kind in (WITHDRAW, CANCEL))
        applied = not_undone(row for row in rows if is_done(row) and row.kind in (PROMOTE, TAKE_BACK))
        there = sandbox.ledger.withdrawn(story.visit_id, story.card_id)
        rows_there = sandbox.ledger.visit(story.visit_id).in_force
        is_there = any(row.program_id == story.program_id for row in rows_there)
        # How much a promotion takes off is Altegio's affair, and the books compare whether it is there.
        for program, by_log, by_altegio in (
            (0, taken_by(taken), there),
            (story.program_id, Decimal(bool(applied)), Decimal(is_there)),
        ):
            if by_log != by_altegio:
                yield story.visit_id, story.card_id, program, by_log, by_altegio
