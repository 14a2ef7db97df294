"""Pre-trained weights from a path, a URL with a checksum or timm, loaded as data only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import Tensor

from wsvs.core.errors import UserError
from wsvs.core.extras import missing
from wsvs.core.files import atomic_path
from wsvs.nets.backbone import Backbone
from wsvs.nets.published import Owner, misfits, owner_of, title_of
from wsvs.nets.timm_backbone import TimmBackbone


class ForeignWeights(UserError):
    """Weights of a network other than the model.

    Attributes:
        owner: The network that they belong to.
    """

    def __init__(
        self,
        problem: str,
        *,
        where: object = None,
        remedy: str | None = None,
        kind: str = "foreign weights",
        owner: Owner | None = None,
    ) -> None:
        super().__init__(problem, where=where, remedy=remedy, kind=kind)
        self.owner = owner


def load_backbone_weights(backbone: Backbone, source: str, sha256: str | None = None) -> None:
    """Fill a backbone from a state dict of the whole network, torchvision's or timm's key names, any float precision.

    The ImageNet classifier and layers after the backbone's last one are ignored.

    Args:
        source: A file, or an http(s) URL, which is cached in torch's hub directory; `timm`, for a timm backbone,
            downloads timm's own weights.
        sha256: Expected hex digest; required for a URL.

    Raises:
        UserError: Not found, wrong checksum, not a state dict, not of this network, or with NaN or infinity.
    """
    if source == "timm" and isinstance(backbone, TimmBackbone):
        if sha256:
            raise UserError("timm's own download takes no checksum", where=sha256, kind="checksum unused")
        state = backbone.published()
    else:
        path = _fetch(source, sha256)
        if sha256:
            _check_digest(path, sha256)
        state = backbone.own_names(load_tensors(path))
    wanted = backbone.state_dict()
    _check_fit(backbone, wanted, state, source)
    fitted = {key: state.get(key, value).to(value.dtype) for key, value in wanted.items()}
    bad = [key for key, value in fitted.items() if not value.isfinite().all()]
    if bad:
        raise UserError(
            f"tensors that are not finite (nan or inf): {len(bad)} of {len(wanted)}, first {bad[0]!r}",
            where=source,
            remedy="download the weights again, or give other ones",
            kind="weights",
        )
    backbone.load_state_dict(fitted)
    backbone.pretrained = True
    backbone.train(backbone.training)  # its norm layers may depend on `pretrained`


def check_weights(backbone: Backbone, source: str) -> None:
    """Raises the `UserError` of `load_backbone_weights` if a file does not fit this network."""
    state = backbone.own_names(load_tensors(Path(source).expanduser()))
    _check_fit(backbone, backbone.state_dict(), state, source)


def _check_fit(backbone: Backbone, wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str) -> None:
    bad = misfits(wanted, state)
    if not bad:
        return
    if any(".backbone." in key for key in state):
        raise UserError(
            "this is a checkpoint that wsvs trained, not weights of a backbone",
            where=source,
            remedy="load it with wsvs.load",
            kind="checkpoint as weights",
        )
    mine, owner = title_of(backbone), owner_of(state)
    if owner is not None and owner.title != mine:
        raise ForeignWeights(
            f"these are {owner.title}'s weights, the model is {mine}",
            where=source,
            remedy=f"give weights of {mine}",
            owner=owner,
        )
    first, missing = bad[0], [key for key in bad if key not in state]
    if missing:
        said = f"missing tensors: {len(missing)} of {len(wanted)}, first {missing[0]!r}"
    else:
        said = f"{first} has shape {tuple(state[first].shape)}, expected {tuple(wanted[first].shape)}"
    raise UserError(
        f"these are not the weights of {mine}: {said}",
        where=source,
        remedy=f"give a state dict of {mine} with {'timm' if isinstance(backbone, TimmBackbone) else 'torchvision'}'s "
        "key names",
        kind="weights",
    )


def load_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict (also one under the key 'state_dict') without running any pickled code.

    *.safetensors needs the package of that name, which is installed with timm.
    """
    try:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError("weights not found", where=path, remedy="give an existing file", kind="weights") from None
    except ImportError as error:
        raise missing("safetensors", "timm", path, error) from error
    except OSError as error:
        raise UserError(f"weights cannot be read: {error}", where=path) from error
    except Exception as error:  # torch and safetensors raise many types; torch advises to load whatever a file holds
        raise UserError(
            "weights cannot be read: the file is damaged, or holds more than tensors",
            where=path,
            remedy="check that the file is complete",
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError("this file is not a state dict (name -> tensor)", where=path)
    return state


def _fetch(source: str, sha256: str | None) -> Path:
    scheme = urlparse(source).scheme
    if scheme not in ("http", "https"):
        path = Path(source).expanduser()
        if not path.is_file():
            remedy = "give an existing file or an http(s) URL"
            raise UserError("weights not found", where=source, remedy=remedy, kind="weights")
        return path
    if not sha256:
        raise UserError(
            "weights from a URL need a checksum",
            where=source,
            remedy="give the SHA-256 of the file, hex",
            kind="checksum missing",
        )
    path = Path(torch.hub.get_dir(), "wsvs", f"{sha256[:16]}-{Path(urlparse(source).path).name}")
    if not path.is_file():
        try:
            with atomic_path(path) as temporary:
                torch.hub.download_url_to_file(source, str(temporary), progress=False)
                _check_digest(temporary, sha256, source)
        except URLError as error:
            raise UserError(
                f"weights cannot be downloaded: {error.reason}",
                where=source,
                remedy="download the file yourself and give its path",
                kind="weights",
            ) from error
    return path


def _check_digest(path: Path, sha256: str, source: str | None = None) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256.lower():
        raise UserError(
            f"checksum of the weights is {found}, expected {sha256}",
            where=source or path,
            remedy="the file is damaged or a different one: download it again",
            kind="checksum",
        )
