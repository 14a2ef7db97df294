"""The README.md of a model's folder, as the Hugging Face Hub shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN = "not recorded: the checkpoint was saved outside its run"


def model_card(
    config: Mapping[str, Any], *, parameters: int, name: str | None, license: str | None, data: str | None
) -> str:
    """Text of the card, its heading of YAML first.

    Args:
        config: The folder's config.json.
        parameters: Number of weights.
        name: Title; of the backbone and the classes by default.
        license: An identifier of the Hub's, such as apache-2.0, for the weights.
        data: What the model was trained with, in words.
    """
    origin, predict, classes = config["origin"], config["predict"], list(config["id2label"].values())[1:]
    head = ["library_name: wsvs", "pipeline_tag: image-segmentation"]
    if license:
        head.insert(0, f"license: {json.dumps(license)}")
    tags = "\n".join(f"- {tag}" for tag in ("semantic-segmentation", "weakly-supervised", "wsvs"))
    shown = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
    supervision = [(row["stage"], row["supervision"]) for row in origin.get("supervision", ())]
    counts = [(stage, _line(found)) for stage, found in origin.get("counts", {}).items() if found]
    figures = [
        (stage, key, f"{value:g}") for stage, found in origin.get("figures", {}).items() for key, value in found.items()
    ]
    made = {"seed": origin.get("seed"), "commit": origin.get("git_commit"), **origin.get("versions", {})}
    return "\n\n".join(
        [
            "\n".join(["---", *head, "tags:", tags, "---"]),
            f"# {name or 'Segmentation: ' + shown}",
            f"Semantic segmentation into background and {len(classes)} classes: {', '.join(classes)}. "
            f"Backbone `{config['net']['backbone']}`, {parameters:,} weights. Trained by "
            "wsvs from image tags, without masks drawn by people unless the table below says so.",
            '```python\nimport wsvs\n\nmodel = wsvs.load("this folder or owner/name")\n'
            'model.predict("photo.jpg").overlay().show()\n```',
            "## Supervision",
            _table(("stage", "supervision"), supervision) if supervision else UNKNOWN,
            "## Data",
            "\n\n".join([data or "Not described.", *([_table(("stage", "counts"), counts)] if counts else [])]),
            "## Figures",
            (_table(("stage", "figure", "value"), figures) + "\n\nFigures of training stages are of validation images, "
             "against masks only where the data has them.") if figures else UNKNOWN,
            "## Settings of its masks",
            _table(("setting", "value"), [(key, f"`{json.dumps(value)}`") for key, value in predict.items()]),
            "## License",
            license or "Not stated: those of the pre-trained backbone and of the training data hold.",
            "## Made with",
            _line({key: value for key, value in made.items() if value is not None}) or UNKNOWN,
        ]
    ) + "\n"  # fmt: skip


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in lines)


def _line(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in values.items())
