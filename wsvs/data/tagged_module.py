"""LightningDataModule of the tagged images for the classification objective."""

from __future__ import annotations

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from wsvs.data.loading import fills_a_batch, make_loader
from wsvs.data.tagged import TaggedDataset, TaggedImages
from wsvs.data.transforms import ImageAugmentation


class TaggedDataModule(pl.LightningDataModule):
    """Random crops for training, whole images one at a time for validation.

    Args:
        source: The tagged images.
        augmentation: Crops for training.
        batch_size: Images a step and rank.
        workers: Loader processes; 0 loads in the main process.
    """

    def __init__(self, source: TaggedImages, augmentation: ImageAugmentation, *, batch_size: int, workers: int) -> None:
        super().__init__()
        if batch_size < 1 or workers < 0:
            raise ValueError(f"batch_size must be >= 1 and workers >= 0, got {batch_size} and {workers}")
        self.source = source
        self.augmentation = augmentation
        self.batch_size = batch_size
        self.workers = workers

    def train_dataloader(self) -> DataLoader:
        dataset = TaggedDataset(self.source, self.source.splits["train"], self.augmentation)
        whole = fills_a_batch(self, dataset, self.batch_size)  # a lone last image would make batch norm fail
        return make_loader(dataset, batch_size=self.batch_size, workers=self.workers, shuffle=True, drop_last=whole)

    def val_dataloader(self) -> DataLoader:
        dataset = TaggedDataset(self.source, self.source.splits["val"], None)
        return make_loader(dataset, batch_size=1, workers=self.workers)
