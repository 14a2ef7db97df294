"""Serve the report's page on this machine, and write the reviewer's answers to a journal."""

from __future__ import annotations

import hmac
import json
import logging
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsvs.core.errors import UserError
from wsvs.core.reviews import ACCEPT, REJECT, VERDICTS, Answer, Journal, Subject

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger("wsvs")

LOOPBACK = "127.0.0.1"
MOST_BYTES = 1 << 16  # largest body of a request
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; media-src 'self'; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Served:
    """The files that the page may show: an `Address` that numbers them. Other files cannot be requested."""

    def __init__(self) -> None:
        self.files: list[Path] = []

    def __call__(self, file: Path | None) -> str | None:
        if file is None or not file.is_file():
            return None
        self.files.append(file)
        return f"files/{len(self.files) - 1}"

    def file(self, address: str | None) -> Path | None:
        """The file of an address that it has returned."""
        return None if address is None else self.files[int(address.rpartition("/")[2])]


class Review:
    """The items of a review and their answers.

    Args:
        journal: The journal for answers.
        subjects: The subjects of the page's items, in order; None for an item whose file no longer exists.
        own: The classes of each item before corrections.
        classes: All classes.
        runs: The run of each item, as <stage>/<run id>.
    """

    def __init__(
        self,
        journal: Journal,
        subjects: Sequence[Subject | None],
        own: Sequence[Sequence[str]],
        classes: Sequence[str],
        runs: Sequence[str],
    ) -> None:
        self.journal, self.subjects, self.own = journal, subjects, own
        self.classes, self.runs = tuple(classes), runs
        self.numbers: dict[str, list[int]] = {}
        for number, subject in enumerate(subjects):
            if subject is not None:
                self.numbers.setdefault(subject.key, []).append(number)
        self.ended = False

    def state(self) -> dict[str, Any]:
        """The initial data of the page."""
        found = {number: self.of(number) for key in self.journal.answers for number in self.numbers.get(key, ())}
        return {
            "answers": found,
            "tags": self.own,
            "classes": self.classes,
            "gone": [number for number, subject in enumerate(self.subjects) if subject is None],
        }

    def of(self, number: int) -> dict[str, Any]:
        """The answer about an item, in the form of the page."""
        subject = self.subjects[number]
        answer = Answer() if subject is None else self.journal.now(subject)
        return {"verdict": answer.verdict, "tags": answer.tags}

    def answer(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Store an answer {"item", "verdict", "tags"}. Raises `ValueError` if it is invalid."""
        number, verdict, tags = said.get("item"), said.get("verdict"), said.get("tags")
        if type(number) is not int or not 0 <= number < len(self.subjects):
            raise ValueError(f"there is no item {number!r}")
        subject = self.subjects[number]
        if subject is None:
            raise ValueError("the file of this item no longer exists")
        if verdict not in VERDICTS:
            raise ValueError(f"a verdict is {ACCEPT}, {REJECT} or null, not {verdict!r}")
        if tags is not None:
            if not isinstance(tags, list) or any(tag not in self.classes for tag in tags) or len(set(tags)) < len(tags):
                raise ValueError(f"tags must be distinct classes, not {tags!r}")
            if subject.kind == "shot" and len(tags) != 1:
                raise ValueError("a shot has one class")
            tags = None if set(tags) == set(self.own[number]) else tuple(tags)
        self.journal.answer(subject, Answer(verdict, tags), run=self.runs[number])
        return self.changed(subject)

    def undo(self) -> dict[str, Any]:
        """Undo the last answer, even of an earlier start or of an item that is not on this page."""
        subject = self.journal.undo()
        return {"items": {}} if subject is None else self.changed(subject)

    def changed(self, subject: Subject) -> dict[str, Any]:
        return {"items": {number: self.of(number) for number in self.numbers.get(subject.key, ())}}


class Guard:
    """Accepts requests with the token and this machine's own host name; all others get 404.

    The host name protects against pages of other sites whose names resolve to this machine (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app = app
        self.token = token.encode()
        self.hosts = {f"{name}:{port}".encode() for name in (LOOPBACK, "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.responses import PlainTextResponse

        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"").removeprefix(b"http://")
        given, slash, path = scope["path"].removeprefix("/").partition("/")
        known = hmac.compare_digest(given.encode(errors="replace"), self.token)
        if headers.get(b"host") in self.hosts and known and slash and (not origin or origin in self.hosts):
            scope = {**scope, "path": f"/{path}", "raw_path": f"/{path}".encode()}
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse("not found", 404)(scope, receive, send)


def build_app(review: Review, page: Path, files: Sequence[Path], token: str, port: int, stop: Any) -> ASGIApp:
    """The application. `stop` is called when the reviewer ends the review."""
    from starlette.applications import Starlette
    from starlette.responses import FileResponse, JSONResponse, PlainTextResponse
    from starlette.routing import Route

    async def show(request: Request) -> Response:
        return FileResponse(page, headers=HEADERS, media_type="text/html")

    async def state(request: Request) -> Response:
        return JSONResponse(review.state(), headers=HEADERS)

    async def file(request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(files) or not files[number].is_file():
            return PlainTextResponse("not found", 404, HEADERS)
        return FileResponse(files[number], headers={**HEADERS, "Cache-Control": "private, max-age=3600"})

    async def say(request: Request) -> Response:
        what = request.url.path.rpartition("/")[2]
        try:
            body = await _body(request)
            if what == "undo":
                return JSONResponse(review.undo(), headers=HEADERS)
            if what == "done":
                review.ended = True
                stop()
                return JSONResponse({}, headers=HEADERS)
            return JSONResponse(review.answer(body), headers=HEADERS)
        except UserError as error:  # the disk is full
            log.error("%s", error.message)
            return PlainTextResponse(error.problem, 507, HEADERS)
        except ValueError as error:
            return PlainTextResponse(str(error), 400, HEADERS)

    routes = [Route("/", show), Route("/state", state), Route("/files/{number:int}", file)]
    routes += [Route(f"/{what}", say, methods=["POST"]) for what in ("answer", "undo", "done")]
    return Guard(Starlette(routes=routes), token, port)


async def _body(request: Request) -> Mapping[str, Any]:
    """The JSON object in a request. Raises `ValueError` if it is something else."""
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
    found = json.loads(data or b"{}")
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def listen(port: int) -> socket.socket:
    """A socket that only this machine can reach. Raises `UserError` if the port is in use."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise UserError(
            f"cannot listen at port {port}: {error.strerror}",
            where=f"review.port={port}",
            remedy="give another port, or leave it out for a free one",
        ) from error
    return listener


def serve(review: Review, page: Path, files: Sequence[Path], token: str, listener: socket.socket) -> None:
    """Run until the reviewer ends the review or a signal arrives, which is forwarded."""
    import uvicorn

    def stop() -> None:
        server.should_exit = True

    app = build_app(review, page, files, token, listener.getsockname()[1], stop)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
