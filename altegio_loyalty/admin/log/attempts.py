"""The attempts inside the page of an operation."""

from typing import Any

from django.contrib import admin
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest

from altegio_loyalty.admin.pages import ReadOnly
from altegio_loyalty.models import OperationAttempt

#: So many attempts of an operation are shown, the newest; one in doubt is looked up for days.
ATTEMPTS_SHOWN = 100


class NewestAttempts(BaseInlineFormSet):  # type: ignore[type-arg]
    def get_queryset(self) -> Any:
        if not hasattr(self, "_queryset"):
            self._queryset = list(super().get_queryset().order_by("-pk")[:ATTEMPTS_SHOWN])[::-1]
        return self._queryset


class AttemptInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """Every call made for the operation, and every decision. Who may see the operation may see them."""

    model = OperationAttempt
    formset = NewestAttempts
    template = "admin/altegio_loyalty/loyaltyoperation/attempts.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("altegio_loyalty.view_loyaltyoperation")
