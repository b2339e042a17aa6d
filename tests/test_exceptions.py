"""Every error survives a pickle with what it carries, and says something without being told."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

from altegio_loyalty import exceptions
from altegio_loyalty.exceptions import AltegioLoyaltyError, ApiError

CLASSES = [
    value
    for value in vars(exceptions).values()
    if inspect.isclass(value) and issubclass(value, AltegioLoyaltyError)
]
API_CLASSES = [each for each in CLASSES if issubclass(each, ApiError)]


def test_all_of_them_are_found() -> None:
    assert len(CLASSES) == 17
    assert len(API_CLASSES) == 11


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_survives_a_pickle(cls: type[AltegioLoyaltyError], protocol: int) -> None:
    for error in (cls(), cls("what happened")):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is cls
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


@pytest.mark.parametrize("cls", API_CLASSES)
@pytest.mark.parametrize("way", [lambda each: pickle.loads(pickle.dumps(each)), copy.copy, copy.deepcopy])
def test_an_api_error_survives_with_what_it_carries(cls: type[ApiError], way: Any) -> None:
    again = way(cls("no", http_status=418, body="teapot", retry_after=1.5))
    assert (str(again), again.http_status, again.body, again.retry_after) == ("no", 418, "teapot", 1.5)


@pytest.mark.django_db
def test_an_operation_in_progress_survives_with_its_operation() -> None:
    from altegio_loyalty.models import LoyaltyOperation

    error = exceptions.OperationInProgress(
        "busy", operation=LoyaltyOperation(pk=7, kind="apply_card_withdrawal")
    )
    again = pickle.loads(pickle.dumps(error))
    assert again.operation == error.operation
    assert exceptions.OperationInProgress().operation is None


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_without_a_message_says_what_its_class_means(cls: type[AltegioLoyaltyError]) -> None:
    assert str(cls()).strip().endswith(".")
    assert "\n" not in str(cls())
    assert str(cls("")) == str(cls())


@pytest.mark.parametrize("cls", CLASSES)
def test_the_message_is_the_only_positional_argument(cls: type[AltegioLoyaltyError]) -> None:
    with pytest.raises(TypeError):
        cls("one", "two")  # type: ignore[call-arg]


def test_an_open_transaction_is_told_the_way_out() -> None:
    assert 'deliver="on_commit"' in str(exceptions.TransactionOpen())


def test_a_budget_that_is_used_up_is_a_rate_limit() -> None:
    assert issubclass(exceptions.Throttled, exceptions.RateLimited)
