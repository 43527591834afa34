"""The web server of the page: who may ask, what is answered, and its life in a thread."""

import contextlib
import re
import secrets
import socket
import threading
import time
import webbrowser
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, quote

import livequeue
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import BadInput
from .hub import Hub
from .views import VIEWS, OwnView, scripts

STATIC = Path(__file__).parent / "static"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,200}")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_ONCE = 60.0
"""Seconds that a code for one visit is good."""
_NO_TOKEN = "This page needs the address that `live watch` printed, with its token. Open that one.\n"


class Guard:
    """Lets in who has the token and speaks to this machine by name; sets the headers of every answer."""

    def __init__(self, app: ASGIApp, port: int, token: str) -> None:
        self._app, self._token = app, token
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        if port == 80:
            self._hosts |= {"127.0.0.1", "localhost", "[::1]"}
        # Cookies do not know ports: two servers on one machine need two names.
        self._cookie = f"live-{port}"
        self._codes: dict[str, float] = {}

    def once(self) -> str:
        """Return a code that opens the page one time, within a minute; any thread may call it."""
        code = secrets.token_urlsafe(16)
        self._codes[code] = time.monotonic() + _ONCE
        return code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await (self._refusal(scope) or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if headers.getlist("host") not in [[host] for host in self._hosts]:
            # A page of another site may have its own name lead here (DNS rebinding).
            return PlainTextResponse("This server answers to the name of this machine only.\n", 421)
        if scope["path"] == "/health":
            return None
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = query.get("token", [])
        if scope["path"] == "/" and (self._right(given) or self._is_code(query.get("once", []))):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            return answer
        if self._right(given or self._in_cookie(headers)):
            return None
        return PlainTextResponse(_NO_TOKEN, 403)

    def _right(self, given: list[str]) -> bool:
        return len(given) == 1 and secrets.compare_digest(given[0].encode(errors="replace"), self._token.encode())

    def _is_code(self, given: list[str]) -> bool:
        return len(given) == 1 and self._codes.pop(given[0], 0.0) > time.monotonic()

    def _in_cookie(self, headers: Headers) -> list[str]:
        with contextlib.suppress(CookieError):
            cookies = SimpleCookie(headers.get("cookie", ""))
            return [cookies[self._cookie].value] if self._cookie in cookies else []
        return []


class EventStream(StreamingResponse):
    """Server-sent events; however it ends, their source is told at once."""

    media_type = "text/event-stream"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            close = getattr(self.body_iterator, "aclose", None)
            if close is not None:
                await close()


def application(hub: Hub, port: int, token: str, modules: Mapping[str, Path]) -> Guard:
    """Return the web application; `modules` are those of views that are not ours."""

    def module(script: Path) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return FileResponse(script, media_type="text/javascript")

        return answer

    async def index(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def events(request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type=EventStream.media_type)
        query = request.query_params
        return EventStream(hub.stream(query.get("run"), query.getlist("show")), headers={"X-Accel-Buffering": "no"})

    async def stop(request: Request) -> Response:
        origin = request.headers.get("origin", f"http://{request.headers['host']}")
        if request.headers.get("x-live") != "1" or origin != f"http://{request.headers['host']}":
            return PlainTextResponse("Only the page itself may stop a run.\n", 403)
        try:
            stopped = await hub.stop(request.query_params.get("run", ""))
        except livequeue.QueueError as error:
            return PlainTextResponse(f"{error}\n", 503)
        if stopped is None:
            return PlainTextResponse("There is no such run.\n", 404)
        return Response(status_code=204) if stopped else PlainTextResponse("The run has ended.\n", 409)

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok")

    routes = [
        Route("/", index),
        Route("/events", events),
        Route("/stop", stop, methods=["POST"]),
        Route("/health", health),
        *(Route(f"/static/views/{name}.js", module(script)) for name, script in modules.items()),
        Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
    ]
    return Guard(Starlette(routes=routes), port, token)


class Page:
    """The page of a queue, served by a thread of this process: `with Page(queue) as page: print(page.url)`.

    `port` 0 is any free one, `token` None a new one; `views` are for messages that the page does not know. Served
    again on the same port with the same token, open pages find it by themselves. The page reads the queue, which stays
    the caller's; it writes only where somebody asks a run to stop.
    """

    def __init__(
        self,
        queue: livequeue.Queue,
        *,
        run: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        views: Sequence[type[OwnView]] = (),
    ) -> None:
        modules = scripts(views)
        if token is not None and not _TOKEN.fullmatch(token):
            raise BadInput("--token (or its file, or $LIVE_TOKEN): must be 8 to 200 letters, digits, - or _")
        self.token = token or secrets.token_urlsafe(16)
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._address = f"http://{host}:{self.port}/"
        self._where = f"#{quote(run, safe='')}" if run else ""
        self.url = f"{self._address}?token={self.token}{self._where}"
        """The address to open, with the token."""
        self.hub = Hub(queue, {**VIEWS, **{view.name: view for view in views}})
        self._application = application(self.hub, self.port, self.token, modules)
        config = uvicorn.Config(
            self._application,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="live page", daemon=True
        )

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)

    def wait(self) -> None:
        """Wait for ever, or for Ctrl-C."""
        while self._thread.is_alive():
            self._thread.join(1.0)

    def open(self) -> None:
        """Open the page in the browser. Its command line, which others may read, holds a code for this visit alone."""
        webbrowser.open(f"{self._address}?once={self._application.once()}{self._where}")

    def linger(self) -> None:
        """Give the open pages half a second to hear of what has just happened."""
        if self.hub.pages:
            time.sleep(0.5)

    def close(self) -> None:
        """End the open streams, the readers and the server."""
        self._server.should_exit = True
        self.hub.close()
        if self._thread.is_alive():
            self._thread.join()
        self.hub.join()
        self._socket.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _listen(host: str, port: int) -> socket.socket:
    found = socket.socket()
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the port of a server that just ended
        found.bind((host, port))
    except (OSError, OverflowError) as error:
        found.close()
        raise BadInput(f"--port {port}: {getattr(error, 'strerror', None) or error}") from None
    return found
