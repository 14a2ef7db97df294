"""A site on this machine: pages with videos, thumbnails and media files, with normal or faulty responses."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BLOCK = 1 << 14
Handler = Callable[["Answer"], None]


@dataclass
class Hit:
    """A request: its path, first byte asked for, bytes of the body that were sent, and whether all of it was."""

    path: str
    begin: int = 0
    sent: int = 0
    whole: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    time: float = 0.0


class Site:
    """Serves what `add` and `page` put there. `hits` lists the requests in their order."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.hits: list[Hit] = []
        site = self

        class Requests(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                begin = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
                path = re.sub(r"^http://[^/]+", "", self.path)  # a proxy is sent the whole address
                hit = Hit(path, int(begin), headers=dict(self.headers), time=time.monotonic())
                site.hits.append(hit)
                site.handlers.get(path, status(404))(Answer(self, hit))

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None: ...  # yt-dlp leaves in the middle of what it only sniffs at

        self.server = Server(("127.0.0.1", 0), Requests)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def add(self, path: str, handler: Handler) -> str:
        """Answer a path so; its address."""
        self.handlers[path] = handler
        return self.url + path

    def page(self, name: str, media: bytes | Handler, thumbnail: bytes | Handler | None = None, **facts: Any) -> str:
        """A page with one video, described in JSON-LD as sites do: /<name>, /<name>.mp4 and /<name>.png."""
        video = {
            "@context": "https://schema.org",
            "@type": "VideoObject",
            "name": name,
            "contentUrl": self.add(f"/{name}.mp4", file(media) if isinstance(media, bytes) else media),
            **facts,
        }
        if thumbnail is not None:
            picture = file(thumbnail, kind="image/png") if isinstance(thumbnail, bytes) else thumbnail
            video["thumbnailUrl"] = self.add(f"/{name}.png", picture)
        head = f'<title>{name}</title><script type="application/ld+json">{json.dumps(video)}</script>'
        html = f"<html><head>{head}</head><body>{name}</body></html>"
        return self.add(f"/{name}", file(html.encode(), kind="text/html"))

    def stream(
        self,
        name: str,
        pieces: Sequence[bytes | Handler],
        *,
        end: str = "#EXT-X-ENDLIST",
        key: str = "",
        seconds: float = 1.0,
    ) -> str:
        """A video in segments (HLS): /<name>.m3u8 and /<name>/<number>.ts."""
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{int(seconds) + 1}", "#EXT-X-MEDIA-SEQUENCE:0"]
        lines += [key] if key else []
        for number, piece in enumerate(pieces):
            answer = file(piece, kind="video/mp2t") if isinstance(piece, bytes) else piece
            self.add(f"/{name}/{number}.ts", answer)
            lines += [f"#EXTINF:{seconds:.3f},", f"{name}/{number}.ts"]
        text = "\n".join([*lines, end, ""])
        return self.add(f"/{name}.m3u8", file(text.encode(), kind="application/vnd.apple.mpegurl"))

    def feed(self, name: str, addresses: Sequence[str]) -> str:
        """A list of videos, as RSS: /<name>."""
        items = "".join(f"<item><title>{k}</title><link>{url}</link></item>" for k, url in enumerate(addresses))
        text = f'<?xml version="1.0"?><rss version="2.0"><channel><title>{name}</title>{items}</channel></rss>'
        return self.add(f"/{name}", file(text.encode(), kind="application/rss+xml"))

    def of(self, path: str) -> list[Hit]:
        return [hit for hit in self.hits if hit.path == path]


class Answer:
    """One answer, written piece by piece."""

    def __init__(self, request: BaseHTTPRequestHandler, hit: Hit) -> None:
        self.request, self.hit = request, hit

    def head(self, code: int, **headers: object) -> None:
        self.request.send_response(code)
        for name, value in headers.items():
            self.request.send_header(name.replace("_", "-"), str(value))
        self.request.end_headers()

    def send(self, body: bytes, pause: float = 0.0) -> None:
        for start in range(0, len(body), BLOCK):
            piece = body[start : start + BLOCK]
            self.request.wfile.write(piece)
            self.hit.sent += len(piece)
            if pause:
                time.sleep(pause)

    def hang_up(self) -> None:
        self.request.wfile.flush()
        self.request.close_connection = True


def file(content: bytes, *, kind: str = "video/mp4", pause: float = 0.0, tag: str | None = "1") -> Handler:
    """A file, as good servers give it: Range answered with 206. `pause` seconds after every 16 kB."""

    def answer(to: Answer) -> None:
        begin = to.hit.begin
        more: dict[str, object] = {"ETag": f'"{tag}"'} if tag else {}
        if begin >= len(content) > 0:
            to.head(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
            return
        asked = to.hit.headers.get("Range", "")
        end = asked.partition("-")[2]
        last = min(int(end), len(content) - 1) if end.isdigit() else len(content) - 1
        if asked:
            more["Content_Range"] = f"bytes {begin}-{last}/{len(content)}"
        to.head(206 if asked else 200, Content_Type=kind, Content_Length=last + 1 - begin, **more)
        to.send(content[begin : last + 1], pause)
        to.hit.whole = True

    return answer


def status(code: int, body: bytes = b"", **headers: object) -> Handler:
    """A bare status, such as 404, 503 or a redirect (Location=...)."""

    def answer(to: Answer) -> None:
        to.head(code, Content_Length=len(body), **headers)
        to.send(body)

    return answer


def after(count: int, first: Handler, then: Handler) -> Handler:
    """The first answer a number of times, then the other one."""
    left = [count]

    def answer(to: Answer) -> None:
        left[0] -= 1
        (first if left[0] >= 0 else then)(to)

    return answer


def says(text: str, code: int = 200) -> Handler:
    """A page that says something, and has no video."""
    body = f"<html><head><title>page</title></head><body><p>{text}</p></body></html>".encode()

    def answer(to: Answer) -> None:
        to.head(code, Content_Type="text/html", Content_Length=len(body))
        to.send(body)

    return answer


def truncated(content: bytes, at: int) -> Handler:
    """Promises the whole file, or the rest of it, and hangs up after `at` more bytes."""

    def answer(to: Answer) -> None:
        begin = to.hit.begin
        headers: dict[str, object] = {"ETag": '"1"'}
        if "Range" in to.hit.headers:
            headers["Content_Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        code = 206 if "Range" in to.hit.headers else 200
        to.head(code, Content_Type="video/mp4", Content_Length=len(content) - begin, **headers)
        to.send(content[begin : begin + at])
        to.hang_up()

    return answer


def endless(to: Answer) -> None:
    """No length, and no end: until the other side hangs up."""
    to.head(200, Content_Type="video/mp4", Connection="close")
    while True:
        to.send(bytes(BLOCK))


def promises(length: int) -> Handler:
    """A Content-Length, and little more."""

    def answer(to: Answer) -> None:
        to.head(200, Content_Type="video/mp4", Content_Length=length)
        to.send(bytes(1000))
        to.hang_up()

    return answer


def wrong_piece(content: bytes) -> Handler:
    """Answers any Range with the file's beginning, as if that had been asked for."""

    def answer(to: Answer) -> None:
        code = 206 if to.hit.begin else 200
        headers = {"Content_Range": f"bytes 0-{len(content) - 1}/{len(content)}"} if code == 206 else {}
        to.head(code, Content_Type="video/mp4", Content_Length=len(content), ETag='"1"', **headers)
        to.send(content)

    return answer


def drip(to: Answer) -> None:
    """A byte now and then."""
    to.head(200, Content_Type="video/mp4", Content_Length=100_000)
    while True:
        to.send(b"0", 0.05)
