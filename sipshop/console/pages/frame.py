"""The frame of every page: its templates, what they may ask, and who may go where (IO: it reads the templates)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from sipshop.console.errors import Problem
from sipshop.console.pages.assets import PREFIX, Assets
from sipshop.console.pages.door import Visitor, visitor_of
from sipshop.console.pages.refusals import sentence
from sipshop.console.pages.words import LANGUAGES, Words, mark
from sipshop.world import Role

TEMPLATES: Final = Path(__file__).parent / "templates"

_NOT_PAGES: Final = ("/api/", "/docs", "/openapi.json", "/metrics", "/healthz", "/readyz", PREFIX)


@dataclass(frozen=True, slots=True)
class Door:
    """A page that the navigation leads to, and whom it shows it."""

    path: str
    title: str
    icon: str
    roles: frozenset[Role] = frozenset(Role)


#: In the order in which they are shown.
NAVIGATION: Final = (
    Door("/board", mark("Board"), "board"),
    Door("/rates", mark("Rates"), "rates"),
    Door("/till", mark("Till"), "till"),
    Door("/receipts", mark("Receipts"), "receipts"),
    Door("/account", mark("My account"), "person"),
)


class Frame:
    """The templates, ready to be filled in."""

    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals |= {"asset": assets.url, "languages": LANGUAGES}
        for name in self._environment.list_templates():
            self._environment.get_template(name)  # a mistake in one is found at the start

    def page(
        self, request: Request, visitor: Visitor, template: str, *, status: int = 200, **more: Any
    ) -> HTMLResponse:
        """Fill a template in, for whoever looks at it."""
        person = visitor.person
        text = self._environment.get_template(template).render(
            _=visitor.words,
            words=visitor.words,
            visitor=visitor,
            person=person,
            path=request.url.path,
            doors=[door for door in NAVIGATION if person is not None and person.role in door.roles],
            **more,
        )
        response = HTMLResponse(text, status)
        visitor.keep(response)
        return response

    def bare(self, template: str, words: Words, **more: Any) -> HTMLResponse:
        """Fill a template in for whoever looks at it, in a language; who that is, nobody asks."""
        text = self._environment.get_template(template).render(_=words, words=words, **more)
        return HTMLResponse(text)

    def refusal(self, request: Request, problem: Problem) -> Response | None:
        """Word a problem for a person who met it on a page; None where a program did."""
        accepts = request.headers.get("accept", "")
        if request.url.path.startswith(_NOT_PAGES) or not ("text/html" in accepts or "x-csrf-token" in request.headers):
            return None
        state: Any = request.app.state
        visitor = visitor_of(request, state.desk.logins, state.desk, state.random)
        if "text/html" not in accepts:
            body = {"code": problem.code, "message": sentence(problem, visitor.words)}
            return JSONResponse(body, problem.status, problem.headers)
        if problem.status == 401:
            return RedirectResponse("/login", 303)
        return self.page(
            request,
            visitor,
            "refusal.html",
            status=problem.status,
            message=sentence(problem, visitor.words),
            number=problem.status,
        )


def role_name(role: Role, words: Words) -> str:
    """Return what somebody does, in his language."""
    return words(_ROLES[role])


_ROLES: Final = {
    Role.OPERATOR: mark("Operator"),
    Role.OWNER: mark("Owner"),
    Role.RESELLER: mark("Reseller"),
    Role.PROVIDER: mark("Provider"),
}
