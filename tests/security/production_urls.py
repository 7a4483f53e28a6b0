"""The product's addresses, and one that fails: what people see of an error of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import include, path

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

FAULT = "the fault of the view, with ghp_16C7e42F292c6912E7710c838347Ae178B4a in it"


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(FAULT)


urlpatterns = [path("fail/", fail, name="fail"), path("", include("project.urls"))]
