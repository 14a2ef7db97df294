"""What stands in the report's page, and whether it can be read there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.reports import Page
from wsvs.report import page as module
from wsvs.report.page import page
from wsvs.report.records import Count, Evaluation, Figures, Item, Report, StageRun

STYLE = Path(module.__file__).with_name("templates").joinpath("page.css").read_text()


def scored(per_class: list[list[str]], **more) -> Evaluation:
    return replace(Evaluation("all", "image", "predict", "val", {}, per_class), **more)


def parse(tmp_path: Path, **more) -> Page:
    """A page of next to nothing, and this."""
    path = tmp_path / "page.html"
    path.write_text(page(replace(Report("n", "today"), **more)))
    return Page(path)


def test_names_that_look_like_numbers(tmp_path):
    names = ["007", "2024", "1e5", "nan", "inf"]
    table = [["class", "label", "iou", "true_pixels"], *([name, "1", "0.5", "12345"] for name in names)]
    parsed = parse(tmp_path, evaluations=[scored(table, results={"mIoU": float("nan")})])
    assert [row for row in parsed.rows if row[0] in names] == [[name, "1", "0.500", "12,345"] for name in names]
    assert "nan" not in STYLE and ["all", "predict", "mIoU \u2013"] in parsed.rows


def test_score_that_is_none_is_a_dash(tmp_path):
    parsed = parse(tmp_path, evaluations=[scored([["class", "iou", "j"], ["cat", "nan", "1"]])])
    assert ["cat", "\u2013", "1.000"] in parsed.rows
    assert [tag["style"] for _, tag in parsed.tags if "style" in tag] == ["--share:1.000"]


def test_names_are_text_wherever_they_stand(tmp_path):
    """Tags, quotes, brackets and Arabic in names of classes, evaluations, runs and shots."""
    name = "<i>[\"a\"]</i> & 'b' \u0642\u0637\u0629 </script>"
    item = Item("shot", name, classes={name: Figures(area=1.0)}, thumbnail="data:,")
    parsed = parse(
        tmp_path,
        name=name,
        notes=[name],
        flow=[Count("videos", "found", 1, {name: 1})],
        evaluations=[
            scored(
                [["class", "iou"], [name, "0.5"]],
                label=name,
                scored=name,
                results={name: 0.5},
                confusion=[["", name], [name, "1"]],
            )
        ],
        items=[item],
        in_all={"shot": 1},
        colours={name: "#800000"},
        curves={"encoder": {name: [(0.0, 1.0)]}},
        stages=[StageRun("encoder", name, 1, name, name, {name: name}, name)],
    )
    assert not [tag for tag, _ in parsed.tags if tag == "i"] and sum(tag == "script" for tag, _ in parsed.tags) == 3
    assert parsed.notes == [name] and list(parsed.data["colours"]) == [name] and parsed.items[0]["name"] == name
    for row in (
        ["unit", "step", "all", name],
        [name, "0.500"],
        [name, "100.0"],
        [name, name, f"{name} 0.500"],
        ["encoder", name],
        ["encoder", "1.0", name, name],
        [name, name],
    ):
        assert row in parsed.rows, row


def test_classes_that_never_occur_are_folded(tmp_path):
    """cat is in the truth, dog is predicted, cow is neither; of the flow nothing is a cow either."""
    confusion = [
        ["", "background", "cat", "cow", "dog"],
        ["background", "8", "0", "0", "2"],
        ["cat", "1", "1", "0", "0"],
        ["cow", "0", "0", "0", "0"],
        ["dog", "0", "0", "0", "0"],
    ]
    per_class = [["class", "iou"], ["background", "0.9"], ["cat", "0.5"], ["cow", "nan"], ["dog", "0"]]
    flow = [Count("videos", "found", 3, {"cat": 1, "cow": 0}), Count("videos", "downloaded", 1, {"dog": 1})]
    parsed = parse(tmp_path, flow=flow, evaluations=[scored(per_class, confusion=confusion)])
    for row in (
        ["unit", "step", "all", "cat", "dog"],
        ["videos", "found", "3", "1", "0"],
        ["dog", "0.000"],
        ["videos", "downloaded", "1", "0", "1"],
        ["true, in % \u2192 predicted", "background", "cat", "dog"],
        ["background", "80.0", "0.0", "20.0"],
        ["cat", "50.0", "50.0", "0.0"],
        ["dog", "0.0", "0.0", "0.0"],
    ):
        assert row in parsed.rows, row
    assert not any("cow" in row for row in parsed.rows)
    text = (tmp_path / "page.html").read_text()
    assert text.count("<summary>classes that never occur: 1</summary>cow</details>") == 2


def colours_of(theme: str) -> dict[str, str]:
    return dict(re.findall(r"--(\w+):([^;}]+)", re.findall(r":root\{(.*?)\}", STYLE, re.DOTALL)[theme == "dark"]))


def luminance(colour: np.ndarray) -> float:
    """Relative luminance as WCAG 2 defines it, of sRGB in [0, 255]."""
    share = colour / 255
    return float(np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))


def from_hex(word: str) -> np.ndarray:
    digits = word[1:] if len(word) == 7 else "".join(2 * letter for letter in word[1:])
    return np.array([int(digits[k : k + 2], 16) for k in (0, 2, 4)], float)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_numbers_can_be_read_on_every_tint(theme):
    """WCAG AA asks for a contrast of 4.5, of the ink with what it stands on."""
    found = colours_of(theme)
    assert ".heat{background:rgba(var(--tint),calc(var(--share)*var(--most)))}" in STYLE
    ink, card = luminance(from_hex(found["ink"])), from_hex(found["card"])
    tint = np.array([float(part) for part in found["tint"].split(",")])
    for share in np.linspace(0, 1, 1001):
        ground = luminance(card + share * float(found["most"]) * (tint - card))
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, share
