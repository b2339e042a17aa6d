"""What an answer costs in memory is bounded, whatever its shape; `benchmarks/answers.py` measures time and memory."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from typing import Any

import pytest

from altegio_loyalty import exceptions
from altegio_loyalty.client import Limits
from tests.client import costly
from tests.client.rawserver import answering, client_of, http_answer, withdraw

MEGABYTE = 1024 * 1024
# The machine's speed decides nothing here.
PATIENT = Limits(read_timeout=60, total_timeout=120)


@pytest.mark.parametrize("name", costly.ANSWERS)
def test_no_shape_of_an_answer_costs_more_than_forty_megabytes_above_its_own_size(name: str) -> None:
    answer = costly.ANSWERS[name]()
    with client_of(answering(answer), PATIENT) as (client, _):
        tracemalloc.start()
        try:
            with contextlib.suppress(exceptions.ApiError):
                costly.read(name, client)
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak - len(answer) < 40 * MEGABYTE


def test_an_answer_that_holds_too_much_says_so() -> None:
    answer = costly.ANSWERS["empty objects"]()
    with client_of(answering(answer), PATIENT) as (client, _):
        with pytest.raises(exceptions.UnreadableAnswer, match="holds more than can be read"):
            withdraw(client)


@pytest.mark.parametrize("client_name", ["Jane", "Пётр", "Jane \N{GRINNING FACE}"])
def test_a_whole_busy_day_on_one_page_is_read(client_name: str) -> None:
    """Ten times as many appointments as were asked for, each with far more than the API shows of one."""
    more = {f"another_field_{number}": number for number in range(90)}
    services = [{"id": number, "title": "Haircut", "cost": 12.5} for number in range(3)]
    client_of_it = {"id": 7, "name": client_name, "phone": "+79990000000"}
    rows: list[dict[str, Any]] = [
        {"id": number, "visit_id": number, "client": client_of_it, "services": services, **more}
        for number in range(1, 501)
    ]
    body = json.dumps({"success": True, "data": rows}, ensure_ascii=False).encode()
    assert len(body) > MEGABYTE
    with client_of(answering(http_answer(body)), PATIENT) as (client, _):
        page = client.records_page(1, start_date="2026-11-24", end_date="2026-11-24")
    assert (page.row_count, page.unreadable_count) == (500, 0)


def test_a_list_of_far_more_rows_than_any_visit_has_is_out_of_all_proportion() -> None:
    answer = http_answer({"success": True, "data": {"loyalty_transactions": [{"type_id": 8}] * 2001}})
    with client_of(answering(answer), PATIENT) as (client, _):
        with pytest.raises(exceptions.UnreadableAnswer, match="out of all proportion"):
            client.visit_details(1, 2, 3)
