"""A mask by an exported model, without PyTorch and wsvs: python onnx_example.py model.onnx photo.jpg mask.png"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, photo, output = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
about = session.get_modelmeta().custom_metadata_map
longest, step = int(about["image_size"]), int(about["multiple"])
image = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
size = [max(3, round(side * longest / max(image.size) / step)) * step for side in image.size]
pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.float32).transpose(2, 0, 1) / 255
labels, probabilities, scores = session.run(None, {"images": pixels[None]})  # images of one size go together
full = [Image.fromarray(one).resize(image.size, Image.Resampling.BILINEAR) for one in probabilities[0]]
mask = np.argmax([np.asarray(one) for one in full], 0).astype(np.uint8)  # smoother borders than those of `labels`
for label, (name, score) in enumerate(zip(json.loads(about["labels"])[1:], scores[0], strict=True), 1):
    print(f"{name}: score {score:.2f}, {np.mean(mask == label):.0%} of the pixels")
Image.fromarray(mask).save(output)
