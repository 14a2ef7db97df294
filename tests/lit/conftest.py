"""A net small enough for every test, and a trainer that leaves nothing behind."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from wsvs.nets.model import NetConfig, SegmentationNet

CONFIG = NetConfig(backbone="vgg_small", classes=("cat", "dog"), image_size=32, scales=(1.0,), hidden=8, dropout=0.0)


@pytest.fixture
def config() -> NetConfig:
    return CONFIG


@pytest.fixture
def net() -> SegmentationNet:
    """Untrained encoder and decoder, the same at every call."""
    torch.manual_seed(0)
    encoder = CONFIG.build_encoder()
    torch.nn.init.normal_(encoder.fc.weight, std=100)  # else every score is close to 0.5
    return SegmentationNet(CONFIG, encoder, CONFIG.build_decoder(encoder)).eval()


@pytest.fixture
def make_trainer(tmp_path):
    def make(**more) -> pl.Trainer:
        quiet = {
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "default_root_dir": tmp_path,
        }
        return pl.Trainer(**{**quiet, **more})

    return make


@pytest.fixture
def load():
    """A loader of ready-made batches."""

    def make(batches) -> DataLoader:
        return DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch)

    return make
