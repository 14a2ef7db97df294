"""The server of a review: access, and the answers that it stores."""

from __future__ import annotations

import http.client
import json
import threading
from dataclasses import dataclass

import pytest

from wsvs.core.errors import UserError
from wsvs.core.reviews import Answer, Journal, read_history, subject_of
from wsvs.report.serve import MOST_BYTES, Review, Served, listen, serve

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
TOKEN = "a-token"


@dataclass
class Client:
    port: int
    journal: Journal

    def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request("GET" if body is None else "POST", path, data, headers)
        answer = connection.getresponse()
        found = answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()}
        connection.close()
        return found

    def say(self, what: str, **said: object) -> tuple[int, dict]:
        status, data, _ = self.ask(f"/{TOKEN}/{what}", said)
        return status, json.loads(data) if status == 200 else {"said": data.decode()}


@pytest.fixture
def client(tmp_path):
    """Items: two images of the same content, a shot, an image that is gone."""
    served = Served()
    (tmp_path / "a.jpg").write_bytes(b"picture")
    (tmp_path / "b.jpg").write_bytes(b"picture")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "page.html").write_text("<p>the page")
    assert served(tmp_path / "gone.jpg") is served(None) is served.file(None) is None
    addresses = [served(tmp_path / f"{name}.jpg") for name in "ab"]
    files = [served.file(address) for address in addresses]
    subjects = [subject_of("image", file.stem, file) for file in files]
    subjects += [subject_of("shot", "cat/s", None), subject_of("image", "gone", None)]
    listener = listen(0)
    with Journal(tmp_path / "review.jsonl") as journal:
        review = Review(journal, subjects, [["cat"], ["cat"], ["cat"], []], ["cat", "dog"], ["predict/r"] * 4)
        page = tmp_path / "page.html"
        thread = threading.Thread(target=serve, args=(review, page, served.files, TOKEN, listener), daemon=True)
        thread.start()
        made = Client(listener.getsockname()[1], journal)
        yield made
        assert made.ask(f"/{TOKEN}/done", {})[0] == 200
        thread.join(60)
        assert not thread.is_alive() and review.ended
    listener.close()


def test_who_is_let_in(client):
    """Only with the token and this machine's own host name; all other requests get 404."""
    host = f"127.0.0.1:{client.port}"
    assert client.ask(f"/{TOKEN}/")[:2] == (200, b"<p>the page")
    assert client.ask(f"/{TOKEN}/", Host=f"localhost:{client.port}")[0] == 200
    refused = [
        client.ask("/"),
        client.ask(f"/{TOKEN}"),
        client.ask(f"/{TOKEN}x/"),
        client.ask(f"/{TOKEN[:-1]}/state"),
        client.ask("/%E2%82%AC/state"),
        client.ask(f"/{TOKEN}/", Host="evil.example"),
        client.ask(f"/{TOKEN}/", Host=f"evil.example:{client.port}"),
        client.ask(f"/{TOKEN}/", Host="127.0.0.1"),
        client.ask(f"/{TOKEN}/answer", {"item": 0, "verdict": "reject"}, Origin="http://evil.example"),
        client.ask(f"/{TOKEN}/answer", {"item": 0, "verdict": "reject"}, Origin="null"),
    ]
    assert {(status, data) for status, data, _ in refused} == {(404, b"not found")}
    assert client.journal.answers == {}
    assert client.ask(f"/{TOKEN}/answer", {"item": 0, "verdict": "accept"}, Origin=f"http://{host}")[0] == 200


def test_no_other_site_may_read_along(client):
    for path in ("", "state", "files/0"):
        headers = client.ask(f"/{TOKEN}/{path}")[2]
        assert not [name for name in headers if name.startswith("access-control")] and "server" not in headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "path", ["files/2", "files/-1", "files/../secret", "files/%2e%2e/secret", "secret", "//etc/passwd"]
)
def test_no_file_but_those_of_the_page(client, path):
    assert client.ask(f"/{TOKEN}/files/1")[:2] == (200, b"picture")
    assert client.ask(f"/{TOKEN}/{path}")[0] == 404


def test_parts_of_a_file_for_a_player(client):
    status, data, headers = client.ask(f"/{TOKEN}/files/0", Range="bytes=2-4")
    assert (status, data, headers["content-range"]) == (206, b"ctu", "bytes 2-4/7")


def test_answers_and_undo(client):
    """Copies of an image share its answer. What is back to what it was is no correction."""
    status, state = client.say("state"), json.loads(client.ask(f"/{TOKEN}/state")[1])
    assert status[0] == 405 and state == {
        "answers": {},
        "tags": [["cat"], ["cat"], ["cat"], []],
        "classes": ["cat", "dog"],
        "gone": [3],
    }
    retagged = {"verdict": "accept", "tags": ["dog"]}
    assert client.say("answer", item=0, **retagged) == (200, {"items": {"0": retagged, "1": retagged}})
    assert client.say("answer", item=2, verdict="reject")[0] == 200
    assert client.say("answer", item=1, verdict=None, tags=["cat"])[1]["items"]["0"] == {"verdict": None, "tags": None}
    assert json.loads(client.ask(f"/{TOKEN}/state")[1])["answers"]["2"] == {"verdict": "reject", "tags": None}
    assert client.say("undo") == (200, {"items": {"0": retagged, "1": retagged}})
    assert client.say("undo") == (200, {"items": {"2": {"verdict": None, "tags": None}}})
    assert client.say("undo")[1]["items"]["0"] == {"verdict": None, "tags": None}
    assert client.say("undo") == (200, {"items": {}})
    assert {answer for _, answer in read_history(client.journal.path).answers.values()} == {Answer()}
    rows = [json.loads(line) for line in client.journal.path.read_text().splitlines()]
    assert [row["name"] for row in rows] == ["a", "cat/s", "b", "b", "cat/s", "a"] and rows[0]["run"] == "predict/r"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"item": 9}, "no item 9"),
        ({"item": -1}, "no item -1"),
        ({"item": True}, "no item True"),
        ({"item": 3, "verdict": "reject"}, "no longer exists"),
        ({"item": 0, "verdict": "perhaps"}, "not 'perhaps'"),
        ({"item": 0, "tags": ["cow"]}, "distinct classes"),
        ({"item": 0, "tags": ["cat", "cat"]}, "distinct classes"),
        ({"item": 0, "tags": "cat"}, "distinct classes"),
        ({"item": 2, "tags": []}, "a shot has one class"),
        ([1], "not a JSON object"),
        (b"x", "Expecting value"),
        (b" " * (MOST_BYTES + 1), "more than"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(client, said, why):
    status, data, _ = client.ask(f"/{TOKEN}/answer", said)
    assert status == 400 and why in data.decode()
    assert client.journal.path.read_bytes() == b""


def test_a_full_disk_is_reported_to_the_page(client, monkeypatch):
    def full(*_):
        raise UserError("no space left on the disk")

    monkeypatch.setattr(Journal, "_write", full)
    assert client.say("answer", item=0, verdict="accept") == (507, {"said": "no space left on the disk"})
    monkeypatch.undo()
    assert client.say("answer", item=0, verdict="accept")[0] == 200


def test_a_port_that_is_taken_is_reported():
    with listen(0) as listener:
        port = listener.getsockname()[1]
        assert listener.getsockname()[0] == "127.0.0.1"  # this machine alone
        with pytest.raises(UserError, match=f"port {port}") as caught:
            listen(port)
    assert caught.value.where == f"review.port={port}"
