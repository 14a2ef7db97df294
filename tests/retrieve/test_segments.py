"""Videos in segments: HLS and DASH by yt-dlp's downloader, size-limited, and resumed after a kill."""

from __future__ import annotations

import itertools
import shutil
from fractions import Fraction
from pathlib import Path

import av
import pytest
from yt_dlp.aes import aes_cbc_encrypt_bytes

from tests.retrieve.conftest import Retrieval
from tests.retrieve.films import RATE, picture
from tests.retrieve.server import Handler, Site, after, endless, file, says, status, truncated
from wsvs.core.errors import BadItem
from wsvs.retrieve.segments import _NAME, _repair, fetch_segments
from wsvs.retrieve.source import Unwanted
from wsvs.video.reader import read_frames

EACH = 25  # frames of a segment


@pytest.fixture(scope="session")
def segments(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Eight segments of MPEG-TS of one second each; the fourth and the fifth second are red."""
    folder = tmp_path_factory.mktemp("hls")
    with av.open(
        str(folder / "list.m3u8"),
        "w",
        format="hls",
        options={
            "hls_time": "1",
            "hls_list_size": "0",
            "hls_segment_filename": str(folder / "%03d.ts"),
        },
    ) as out:
        stream = out.add_stream("libx264", rate=RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 96, 64, "yuv420p", EACH
        stream.options = {"x264-params": f"scenecut=0:min-keyint={EACH}:keyint={EACH}"}
        for number in range(8 * EACH):
            red = 0.95 if 3 * EACH <= number < 5 * EACH else 0.3
            frame = av.VideoFrame.from_ndarray(picture(number, red), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    found = [path.read_bytes() for path in sorted(folder.glob("*.ts"))]
    assert len(found) == 8
    return found


def fetch(retrieval: Retrieval, url: str, limit: int = 10**6, most: float = 60.0, **pace) -> Path:
    chosen = {"url": url, "protocol": "m3u8_native", "format_id": "0", "ext": "mp4"}
    return fetch_segments(retrieval.web(**pace), chosen, retrieval.folder / "video", limit, most)


def test_a_video_in_segments_is_retrieved(retrieval: Retrieval, site: Site, segments: list[bytes]) -> None:
    row = retrieval.one(site.stream("film", segments), keep_videos=True)
    assert row.status == "retrieved" and row.bytes == len(b"".join(segments)) and row.frames == 8 * EACH
    assert [key.chosen for key in row.key_frames] == [k in (3, 4) for k in range(8)]
    [kept] = retrieval.out.glob("videos/*.ts")
    assert kept.read_bytes() == b"".join(segments) and not (retrieval.out / "partial").exists()
    [clip] = row.clips
    frames = list(read_frames(retrieval.out / clip.path, clip.start, clip.stop))
    assert len(frames) == 5 * EACH + 1  # from 1 to 6 s


def test_hiccups_of_segments_are_tried_again(retrieval: Retrieval, site: Site, segments: list[bytes]) -> None:
    pieces: list[bytes | Handler] = [*segments]
    pieces[2] = after(1, status(500), file(segments[2]))
    pieces[3] = after(2, status(503), file(segments[3]))
    pieces[4] = after(1, truncated(segments[4], 1000), file(segments[4]))
    path = fetch(retrieval, site.stream("film", pieces))
    assert path.read_bytes() == b"".join(segments) and path.name == "video.ts"
    assert [path.name for path in retrieval.folder.iterdir()] == ["video.ts"]


@pytest.mark.parametrize("answer", [status(404), status(403), status(500), says("slow down")])
def test_a_failing_segment_fails_for_now(
    retrieval: Retrieval, site: Site, segments: list[bytes], answer: Handler
) -> None:
    """No hole in the video, no half video; the same command gets it, and the whole ones are not asked for again."""
    url = site.stream("film", [*segments[:3], answer, *segments[4:]])
    row = retrieval.one(url)
    assert row.failure == "later" and not row.clips, row.status
    assert row.status.startswith(("failed: HTTP error", "failed: a web page instead of a segment"))
    site.add("/film/3.ts", file(segments[3]))
    assert retrieval.one(url).status == "retrieved"


def test_segments_resume_after_the_last_whole_one(retrieval: Retrieval, site: Site, segments: list[bytes]) -> None:
    url = site.stream("film", [*segments[:3], status(404), *segments[4:]])
    with pytest.raises(BadItem, match="HTTP error 404"):
        fetch(retrieval, url)
    work = retrieval.folder / "video.segments"
    part = work / f"{_NAME}.part"
    assert part.read_bytes() == b"".join(segments[:3])
    part.write_bytes(part.read_bytes() + segments[3][:500])  # killed while the fourth was appended
    (work / f"{_NAME}.part-Frag4.part").write_bytes(segments[3][:100])
    site.add("/film/3.ts", file(segments[3]))
    site.hits.clear()
    assert fetch(retrieval, url).read_bytes() == b"".join(segments)
    assert not site.of("/film/0.ts") and not site.of("/film/2.ts") and len(site.of("/film/3.ts")) == 1


@pytest.mark.parametrize("damage", ["state", "part", "version", "gone"])
def test_damaged_remains_are_thrown_away(retrieval: Retrieval, site: Site, segments: list[bytes], damage: str) -> None:
    url = site.stream("film", [*segments[:3], status(404), *segments[4:]])
    with pytest.raises(BadItem):
        fetch(retrieval, url)
    work = retrieval.folder / "video.segments"
    if damage == "state":
        (work / f"{_NAME}.ytdl").write_text('{"downl')
    elif damage == "part":
        (work / f"{_NAME}.part").write_bytes(b"x")
    elif damage == "gone":
        (work / f"{_NAME}.part").unlink()
    site.add("/film/3.ts", file(segments[3]))
    if damage == "version":  # the site has another video there now
        segments = segments[::-1][:5]
        url = site.stream("film", segments)
    assert fetch(retrieval, url).read_bytes() == b"".join(segments)


def test_repair_keeps_what_is_recorded(tmp_path: Path) -> None:
    assert _repair(tmp_path, "v") == 0
    (tmp_path / "video.part").write_bytes(b"0123456789")
    (tmp_path / "video.ytdl").write_text(
        '{"downloader": {"current_fragment": {"index": 2}, "extra_state": {"size": 7}}}'
    )
    assert _repair(tmp_path, "v") == 7 and (tmp_path / "video.part").read_bytes() == b"0123456"
    assert _repair(tmp_path, "w") == 0 and [path.name for path in tmp_path.iterdir()] == ["version.json"]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"seconds": 10.0}, r"longer than 60 s \(80 s\)"),
        ({"seconds": 0.001}, "in more than 4 segments"),
        ({"end": ""}, "live"),
        ({"limit": 20_000}, r"larger than 0\.02 MB"),
        ({"endless": True}, r"larger than 1 MB"),
    ],
)
def test_bounds(retrieval: Retrieval, site: Site, segments: list[bytes], how: dict, reason: str) -> None:
    how = {**how}
    limit, most = how.pop("limit", 10**6), 1.0 if how.get("seconds") == 0.001 else 60.0
    pieces: list[bytes | Handler] = [*segments]
    if how.pop("endless", False):
        pieces[4] = endless
    with pytest.raises(Unwanted, match=reason):
        fetch(retrieval, site.stream("film", pieces, **how), limit, most)
    assert not list(retrieval.folder.glob("video*"))


def test_encrypted_segments(retrieval: Retrieval, site: Site, segments: list[bytes]) -> None:
    key, iv = bytes(range(16)), bytes(15) + b"\1"
    site.add("/key", file(key))
    locked = [aes_cbc_encrypt_bytes(one[: 188 * 3], key, iv) for one in segments[:2]]
    url = site.stream("film", locked, key=f'#EXT-X-KEY:METHOD=AES-128,URI="{site.url}/key",IV=0x{iv.hex()}')
    assert fetch(retrieval, url).read_bytes() == b"".join(one[: 188 * 3] for one in segments[:2])
    shutil.rmtree(retrieval.folder / "video.segments", ignore_errors=True)
    (retrieval.folder / "video.ts").unlink()
    other = site.stream("drm", segments[:2], key='#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://x"')
    with pytest.raises(BadItem, match="its segments are encrypted"):
        fetch(retrieval, other)


def test_dash(retrieval: Retrieval, site: Site, tmp_path: Path, red_film: bytes) -> None:
    """Fragmented MP4 by a manifest with a list of segments."""
    (tmp_path / "in.mp4").write_bytes(red_film)
    with (
        av.open(str(tmp_path / "in.mp4")) as source,
        av.open(
            str(tmp_path / "out.mp4"), "w", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
        ) as out,
    ):
        made = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = made
                out.mux(packet)
    whole = (tmp_path / "out.mp4").read_bytes()
    cuts = [0, *[place for place in range(4, len(whole)) if whole[place : place + 4] == b"moof"], len(whole)]
    cuts = [max(0, cut - 4) if 0 < cut < len(whole) else cut for cut in cuts]
    pieces = [whole[start:stop] for start, stop in itertools.pairwise(cuts)]
    for number, piece in enumerate(pieces):
        site.add(f"/d/{number}.m4s", file(piece))
    listed = "".join(f'<SegmentURL media="d/{number}.m4s"/>' for number in range(1, len(pieces)))
    url = site.add(
        "/film.mpd",
        file(
            f"""<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT12S" minBufferTime="PT2S"
profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period duration="PT12S"><AdaptationSet mimeType="video/mp4">
<Representation id="v" codecs="avc1.42c00d" width="96" height="64" bandwidth="100000"><SegmentList duration="1">
<Initialization sourceURL="d/0.m4s"/>{listed}</SegmentList></Representation></AdaptationSet></Period></MPD>""".encode(),
            kind="application/dash+xml",
        ),
    )
    web = retrieval.web(format="bv*")
    row = retrieval.one(url, web=web, keep_videos=True)
    assert row.status == "retrieved" and row.frames == 300, row.status
    [kept] = retrieval.out.glob("videos/*.mp4")
    assert kept.read_bytes() == whole
