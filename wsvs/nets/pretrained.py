"""A trained network as a folder in the layout of the Hugging Face Hub, written and read without pickle."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wsvs import __version__
from wsvs.core.classes import BACKGROUND
from wsvs.core.errors import UserError
from wsvs.core.extras import require
from wsvs.core.files import atomic_path, explain_os_error, read_json, write_json, write_text
from wsvs.core.model_card import model_card
from wsvs.core.origin import Origin
from wsvs.nets.model import NetConfig, SegmentationNet, require_finite
from wsvs.nets.weights import load_tensors

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
_TYPE = "wsvs"


def write_folder(
    folder: Path,
    net: SegmentationNet,
    predict: Mapping[str, Any],
    origin: Origin,
    *,
    name: str | None = None,
    license: str | None = None,
    data: str | None = None,
) -> None:
    """Write config.json last: a folder that has it is whole.

    Args:
        predict: The settings of its masks.
        origin: See `wsvs.core.origin`.
        name: Title of the model card.
        license: Of the weights, an identifier such as apache-2.0.
        data: What it was trained with, in words.
    """
    require("safetensors", folder)
    from safetensors.torch import save_file

    try:
        (folder / CONFIG).unlink(missing_ok=True)
    except OSError as error:
        raise explain_os_error(error, folder, "folder") from error
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
    names = (BACKGROUND, *net.classes)
    config = {
        "model_type": _TYPE,
        "wsvs_version": __version__,
        "id2label": {str(label): name for label, name in enumerate(names)},
        "label2id": {name: label for label, name in enumerate(names)},
        "net": net.config.asdict(),
        "predict": dict(predict),
        "origin": origin,
        "license": license,
        "data": data,
    }
    count = sum(value.numel() for value in net.parameters())
    write_text(folder / CARD, model_card(config, parameters=count, name=name, license=license, data=data))
    write_json(folder / CONFIG, config)


def read_folder(folder: Path) -> tuple[SegmentationNet, dict[str, Any]]:
    """The networks, ready for inference, and the folder's config.json.

    Raises:
        UserError: A file is missing, not one of ours, or weights do not fit the description or are not finite.
    """
    remedy = f"give a folder that model.save_pretrained wrote: {CONFIG} and {WEIGHTS}"
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise UserError("this folder holds no model", where=folder, remedy=remedy)
    require("safetensors", folder)
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or config.get("model_type") != _TYPE or "net" not in config:
        raise UserError("this is not a model of wsvs", where=folder / CONFIG, remedy=remedy)
    state = load_tensors(folder / WEIGHTS)
    described = NetConfig.read(config["net"])
    encoder = described.build_encoder()
    decoder = described.build_decoder(encoder) if any(key.startswith("decoder.") for key in state) else None
    net = SegmentationNet(described, encoder, decoder)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        problem = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(
            f"the weights do not fit the description: {problem}", where=folder / WEIGHTS, remedy=remedy
        ) from error
    require_finite(*(value for value in state.values() if value.is_floating_point()))
    return net.eval(), config


def is_hub_name(name: str | Path) -> bool:
    """Is it owner/name of the Hub, and no path on this machine?"""
    text = str(name)
    fits = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", text)
    local = Path(text).exists() or Path(text).parent.is_dir() or Path(text).suffix in (".ckpt", ".pt", ".pth")
    return bool(fits) and not local


def fetch(name: str, revision: str | None = None) -> Path:
    """The folder of a model of the Hub, downloaded into its cache if need be.

    Raises:
        UserError: The hub extra is not installed, or there is no such model, or it cannot be reached.
    """
    hub = _hub(name)
    try:
        return Path(
            hub.snapshot_download(name, revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD], endpoint=_endpoint())
        )
    except hub.errors.RepositoryNotFoundError as error:
        raise UserError(
            "there is no such file or folder, and no such model on the Hugging Face Hub",
            where=name,
            remedy="check the name; for a private model log in first: hf auth login",
        ) from error
    except Exception as error:  # of the Hub, of HTTP, of the connection: each library on the way has its own
        raise UserError(
            f"the model cannot be downloaded: {str(error).splitlines()[0]}",
            where=name,
            remedy="is the Hub reachable? A folder that was downloaded before can be given as a path",
        ) from error


def push(folder: Path, name: str, *, private: bool, message: str, token: str | None) -> str:
    """Upload a folder as one commit; make the model if there is none. Returns the commit's address.

    Raises:
        UserError: The hub extra is not installed, no permission, or it cannot be reached.
    """
    hub = _hub(name)
    api = hub.HfApi(_endpoint(), token, library_name="wsvs", library_version=__version__)
    adds = [hub.CommitOperationAdd(file, str(folder / file)) for file in (WEIGHTS, CARD, CONFIG)]
    try:
        api.create_repo(name, private=private, exist_ok=True)
        return str(api.create_commit(name, adds, commit_message=message).commit_url)
    except Exception as error:  # as above
        raise UserError(
            f"the model cannot be uploaded: {str(error).splitlines()[0]}",
            where=name,
            remedy="log in with a token that may write: hf auth login, or give token=...",
        ) from error


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")  # now, not when huggingface_hub was first imported


def _hub(where: object) -> Any:
    require("huggingface_hub", where)
    import huggingface_hub
    import huggingface_hub.errors

    return huggingface_hub
