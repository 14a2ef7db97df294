"""Images of a validation: the right items, the right labels, and no effect on the training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wsvs.core.classes import IGNORE
from wsvs.core.visualize import heat
from wsvs.lit.decoder import DecoderModule
from wsvs.lit.encoder import EncoderModule
from wsvs.lit.media import LoggedImage, ShowValidation, alike, glow, spread


def images(count, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))


def tagged(count):
    """Batches of one image; the second and the last one have both tags."""
    y = torch.tensor([[1.0, 0.0]] * count)
    y[[1, -1], 1] = 1
    return [{"id": [str(k)], "image": one[None], "y": y[k : k + 1], "bad": []} for k, one in enumerate(images(count))]


def cropped(count, seed=0):
    target = torch.zeros(count, 32, 32, dtype=torch.long)
    target[:, 8:24, 8:24] = 1
    target[:, :, 28:] = IGNORE
    return {
        "id": [str(k) for k in range(count)],
        "image": images(count, seed),
        "target": target,
        "class": torch.arange(count) % 2,
        "bad": [],
    }


@pytest.fixture
def shown():
    """Keeps what it is shown."""

    class Kept(list):
        def __call__(self, key, pictures, names, step):
            self.append((key, list(pictures), tuple(names), step))

    return Kept()


def encoder(config, net) -> EncoderModule:
    module = EncoderModule(config.asdict())
    module.net.load_state_dict(net.state_dict(), strict=False)  # without the decoder
    return module


def test_attention_of_a_validation(config, net, make_trainer, load, shown):
    module, batches = encoder(config, net), tagged(5)
    trainer = make_trainer(max_steps=2, callbacks=[ShowValidation(2, shown)], val_check_interval=1)
    trainer.fit(module, load(batches[:2]), load(batches))
    assert [(key, names, step) for key, _, names, step in shown] == [
        ("val/attention", ("background", "cat", "dog"), step)
        for step in (1, 2)  # and none of the sanity check
    ]
    for picture, place in zip(shown[-1][1], (0, 2), strict=True):
        image = batches[place]["image"][0]
        numbers, alpha, scores = module.eval().net.probabilities(image / 255, [0], method="attention")
        assert picture.caption == f"cat {scores[0]:.2f}" and picture.masks == {} and numbers == [0]
        expected = 0.4 * image.permute(1, 2, 0).numpy() + 0.6 * heat(alpha[0].numpy())
        assert np.abs(picture.image - expected).max() < 1


def test_attention_of_several_tags_is_their_maximum(config, net, make_trainer, load, shown):
    module, batches = encoder(config, net), tagged(2)
    make_trainer(callbacks=[ShowValidation(9, shown)]).validate(module, load(batches), verbose=False)
    [(_, pictures, _, _)] = shown
    assert len(pictures) == 2
    image = batches[1]["image"][0]
    alone = [module.eval().net.probabilities(image / 255, [k], method="attention")[1][0] for k in (0, 1)]
    expected = glow(image.permute(1, 2, 0).numpy(), torch.maximum(*alone).numpy())
    assert np.array_equal(pictures[1].image, expected) and "cat" in pictures[1].caption and "dog" in pictures[1].caption


def test_crops_of_a_validation(config, make_trainer, load, shown):
    torch.manual_seed(0)
    module = DecoderModule(config.asdict())
    torch.nn.init.normal_(module.net.encoder.fc.weight)
    batches = [cropped(4), {"bad": [("x", "broken")]}, cropped(4, seed=1)]
    make_trainer(callbacks=[ShowValidation(4, shown)]).validate(module, load(batches), verbose=False)
    [(key, pictures, names, _)] = shown
    assert (key, names) == ("val/masks", ("background", "cat", "dog"))
    items = [(batch, place) for batch in (batches[0], batches[2]) for place in (0, 2)]
    assert len(pictures) == len(items)
    with torch.no_grad():
        for picture, (batch, place) in zip(pictures, items, strict=True):
            one = {key: value[place : place + 1] for key, value in batch.items() if isinstance(value, torch.Tensor)}
            found = module.eval().score(one).softmax(1)[0, 1] > 0.5
            label = int(one["class"]) + 1
            assert picture.caption == ("cat", "dog")[label - 1]
            assert np.array_equal(picture.image, one["image"][0].permute(1, 2, 0).numpy())
            assert np.mean(picture.masks["prediction"] == found.numpy() * label) > 0.99
            target = picture.masks["target"]
            assert np.array_equal(target == IGNORE, one["target"][0].numpy() == IGNORE)
            assert np.array_equal(target == label, one["target"][0].numpy() == 1) and target.dtype == np.uint8


def test_the_training_is_the_same_with_and_without_images(config, make_trainer, load, shown):
    weights = []
    for callbacks in ([], [ShowValidation(2, shown)]):
        torch.manual_seed(0)
        module = DecoderModule(config.asdict(), lr=1e-2)
        make_trainer(max_steps=3, callbacks=callbacks, val_check_interval=1).fit(
            module, load([cropped(3)] * 3), load([cropped(2)])
        )
        weights.append(module.state_dict())
    assert len(shown) == 3 and all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@pytest.mark.parametrize(
    ("number", "total", "places"), [(3, 9, [0, 3, 6]), (4, 2, [0, 1]), (1, 5, [0]), (0, 5, []), (2, 0, [])]
)
def test_spread(number, total, places):
    assert spread(number, total) == places


def test_none_is_no_number_of_images(shown):
    with pytest.raises(ValueError, match="at least 1"):
        ShowValidation(0, shown)


def test_images_of_one_size():
    wide = LoggedImage(np.zeros((20, 80, 3), np.uint8), "wide", {"m": np.ones((10, 40), np.uint8)})
    tall = LoggedImage(np.zeros((30, 10, 3), np.uint8), "tall", {"m": np.full((30, 10), 255, np.uint8)})
    first, second = alike([wide, tall], 40)
    assert first.image.shape == second.image.shape == (30, 40, 3)
    assert first.masks["m"].shape == second.masks["m"].shape == (30, 40)
    assert first.masks["m"][:10].all() and not first.masks["m"][10:].any() and (first.image[10:] == 255).all()
    assert (second.masks["m"][:, :10] == 255).all() and not second.masks["m"][:, 10:].any()
    assert (first.caption, second.caption) == ("wide", "tall") and alike([], 40) == []
