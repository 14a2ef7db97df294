"""The benchmark runs, and what it times does its work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import benchmarks.__main__
from benchmarks import gpu, gpu_loops, speedup, train
from benchmarks.clips import moving_ellipse, write_video
from benchmarks.gpu_rows import TINY, Device, Row, make_images, rate
from benchmarks.options import Options
from benchmarks.superpixels import borders, boundary_recall, undersegmentation_error
from wsvs.core.masks import write_mask
from wsvs.lit.decoder import DecoderModule
from wsvs.lit.encoder import EncoderModule
from wsvs.nets.model import SegmentationNet


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "WSVS_REAL_DATA"}  # --real alone says it
    return subprocess.run(
        command, cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of real videos as the benchmark wants it, with one small one."""
    film, truth = moving_ellipse(6, 96, 160)
    write_video(tmp_path / "real" / "one.mp4", film)
    for t, mask in enumerate(truth):
        write_mask(tmp_path / "real" / "masks" / "one" / f"{t:05d}.png", mask.astype(np.uint8))
    return tmp_path / "real"


@pytest.mark.slow
def test_short_benchmark(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    done = run("--only", "segment,superpixels", "--frames", 6, "--repeats", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    for size in ("400", "480p"):
        whole, flow = figures[f"segment.ms_per_frame_{size}"], figures[f"flow.dis_medium_ms_per_frame_{size}"]
        assert whole > flow > 0
        assert figures[f"segment.flow_ratio_{size}"] == pytest.approx(whole / flow, rel=0.01)
    assert figures["segment.strong_ms_per_frame_400"] > 0
    row = next(line for line in done.stdout.splitlines() if "IoU with the truth" in line)
    assert all(float(cell) > 0.85 for cell in row.split("\u2502")[2:-1])
    assert "superpixels: skipped" in done.stdout


@pytest.mark.slow
def test_start_up_in_multiples_of_importing_hydra(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    done = run("--only", "startup", "--repeats", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    assert set(figures) == {"startup.hydra_s", "startup.wrong_path", "startup.cfg_job", "startup.bare"}
    assert figures["startup.bare"] < figures["startup.cfg_job"] and figures["startup.hydra_s"] > 0


@pytest.mark.slow
def test_superpixels_of_real_videos(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "bench.json"
    done = run("--only", "superpixels", "--real", folder, "--out", out)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    assert 0.5 < figures["superpixels.boundary_recall_numba_400"] <= 1
    assert figures["superpixels.count_numba_as_many_400"] == pytest.approx(
        figures["superpixels.count_opencv_400"], rel=0.1
    )


@pytest.mark.slow
@pytest.mark.parametrize(("make", "loss"), [(EncoderModule, train.encoder_loss), (DecoderModule, train.decoder_loss)])
def test_training_takes_turns_with_a_bare_loop(make, loss, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "SIZES", {"cpu": ("vgg_small", 32, 2, "32-true")})
    monkeypatch.setattr(train, "TURN", 2)
    ours, theirs, flops = train.measure(make, loss, 1, "cpu")
    assert len(ours) == len(theirs) == train.TURNS and min(ours + theirs) > 0
    first = 2 * 32 * 32 * 2 * 9 * 3 * 16  # the first convolution of two images forward
    assert flops > 20 * first


CPU = Device("cpu", "CPU")


def test_gpu_part_advises_without_one(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path) -> None:
    """Alone it is an error; among all parts it is a line, and the others run."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "gpu", "--out", str(tmp_path / "bench.json")])
    with pytest.raises(SystemExit, match="2"):
        benchmarks.__main__.main()
    assert "no CUDA GPU here" in (said := capsys.readouterr().err) and "--tiny" in said
    assert gpu.bench(Options(40, 3, None)) == {}
    assert capsys.readouterr().out == "gpu: skipped, for torch finds no CUDA GPU here\n"


@pytest.mark.parametrize("stage", ["encoder", "decoder"])
def test_gpu_part_trains_from_files(stage: str, tmp_path: Path) -> None:
    make_images(tmp_path, TINY)
    row = gpu.training(stage, gpu.network("vgg_small", TINY), tmp_path, 1, 1e12, CPU, TINY)
    first = 2 * 32 * 32 * 9 * 3 * 16  # operations of the first convolution of an image
    assert row.peak_share and row.speed and row.peak_share > first * row.speed / 1e12
    assert row.bare and row.waited is not None and 0 < row.waited < 1
    assert set(row.figures()) == {
        f"gpu.train.{stage}_vgg_small.{name}" for name in ("images_per_second", "busy_share", "data_wait", "peak_share")
    }


def test_gpu_part_times_steps_and_bare_networks() -> None:
    steps: list[None] = []
    speed = rate(lambda: steps.append(time.sleep(0.01)), 3, 0.1, CPU)
    assert len(steps) % 5 == 0 and 0 < speed <= 3 / 0.01
    config = gpu.network("vgg_small", TINY)
    encoder = config.build_encoder()
    net = SegmentationNet(config, encoder, config.build_decoder(encoder)).eval()
    assert all(speed > 0 for speed in gpu_loops.bare_networks(net, config, CPU, TINY).values())


@pytest.mark.parametrize(
    ("speed", "bare", "waited", "bound"),
    [(90.0, 100.0, 0.05, "device"), (20.0, 100.0, 0.7, "data"), (20.0, 100.0, 0.1, "its process")],
)
def test_what_bounds_a_loop(speed: float, bare: float, waited: float, bound: str) -> None:
    row = Row("segment_1_core", "frames", speed, bare, waited)
    assert row.bound == bound and row.figures()["gpu.segment_1_core.busy_share"] == speed / bare
    assert Row("segment_1_core", "frames", bare=bare, missing="no time was left").figures() == {}


def test_gpu_part_stops_a_command_at_its_limit(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text("import time\ntime.sleep(600)\n")
    words = ["stage=segment", "plugins=[sleeper]"]
    assert gpu_loops.run(words, 1, "1_core", tmp_path, CPU, 1) == "not finished within 1 s"
    assert gpu_loops.run(words, 1, "1_core", tmp_path, CPU, 0) == "no time was left"


@pytest.mark.slow
def test_gpu_part_in_tiny_sizes(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    done = run("--only", "gpu", "--tiny", "--out", out)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    assert figures["gpu.peak_tflops"] > 0 and figures["gpu.cores"] == 1 and "without a figure" not in done.stdout
    for name, unit in (("relevance", "frames"), ("segment", "frames"), ("predict", "images")):
        assert figures[f"gpu.{name}_1_core.{unit}_per_second"] > 0
        assert 0 <= figures[f"gpu.{name}_1_core.data_wait"] < 1
    assert figures["gpu.train.decoder_vgg_small.images_per_second"] > 0


@pytest.mark.parametrize("world", ["toy", "small"])
def test_a_step_has_the_loss_and_gradients_of_the_reference(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speedup, "BATCH", 2)
    torch.manual_seed(0)
    net, _ = speedup.WORLDS[world]
    monkeypatch.setitem(speedup.WORLDS, world, (net, 72))
    module, batch = DecoderModule(net.asdict()), speedup.made(world)
    torch.nn.init.normal_(module.net.encoder.fc.weight)
    found = []
    for which in ("old", "new"):
        module.zero_grad()
        loss = speedup.loss_of(which, module, batch)
        loss.backward()
        found.append([loss.detach(), *(p.grad.clone() for p in module.decoder.parameters())])
    assert found[0][0] > 0 and any(gradient.abs().max() > 1e-4 for gradient in found[0][1:])
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["encoder", "decoder"])
def test_steps_are_timed_in_processes_of_their_own(stage: str) -> None:
    assert all(speedup.cpu_seconds(which, stage, "toy", 1) > 0 for which in ("old", "new"))


@pytest.mark.parametrize(
    "wrong", [["--only", "everything"], ["--frames", "1"], ["--repeats", "0"], ["--real", "/nowhere"]]
)
def test_bad_arguments(wrong: list[str]) -> None:
    done = run(*wrong)
    assert done.returncode == 2 and "error" in done.stderr and "Traceback" not in done.stderr


def test_measures_of_superpixels_by_hand() -> None:
    truth = np.zeros((10, 20), bool)
    truth[:, 10:] = True
    assert borders(truth).sum() == 20
    halves = np.zeros((10, 20), int)
    for shift, recall in ((0, 1.0), (2, 1.0), (3, 0.5), (4, 0.0)):  # two columns of true border, 2 px of tolerance
        halves[:] = np.arange(20) >= 10 + shift
        assert boundary_recall(halves, truth) == recall
        assert undersegmentation_error(halves, truth) == pytest.approx(2 * 10 * shift / 200)
    assert np.isnan(boundary_recall(halves, truth & False))


def test_corrected_images_are_never_scored(tmp_path):
    """A larger set has the smaller ones in it, whatever the order of the files."""
    from benchmarks.corrected import chosen, corrected_masks
    from wsvs.core.masks import write_mask

    ids = [f"cat/{number}" for number in range(40)]
    for name in ids[:30]:
        write_mask(tmp_path / "masks" / f"{name}.png", np.zeros((2, 2), np.uint8))
    corrected, rest = chosen(tmp_path / "masks", ids, 10)
    assert len(corrected) == 10 and sorted([*corrected, *rest]) == sorted(ids[:30])
    assert chosen(tmp_path / "masks", ids[::-1], 4)[0] == corrected[:4] != sorted(corrected[:4])
    folder = corrected_masks(tmp_path / "4", tmp_path / "masks", corrected[:4])
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")} == {
        f"{one}.png" for one in corrected[:4]
    }
    with pytest.raises(SystemExit, match="only 30 images"):
        chosen(tmp_path / "masks", ids, 30)


@pytest.mark.slow
def test_stores_are_compared(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    done = run("--only", "store", "--repeats", 1, "--tiny", "--out", out)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    assert set(figures) == {
        *("store.journal_s", "store.files_per_frame", "store.files_per_frame_ratio"),
        *("store.write_a_frame_ratio", "store.read_a_frame_ratio"),
    }
    assert 0 < figures["store.files_per_frame"] <= 0.03 and figures["store.files_per_frame_ratio"] < 0.02
