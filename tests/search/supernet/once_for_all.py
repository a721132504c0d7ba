"""What Once-for-All's own code answers: run this where PyTorch is, to record it anew.

    pip install torch ofa numpy
    python tests/search/supernet/once_for_all.py

It writes `once_for_all.npz` beside itself: the logits of ten random sub-networks of
their network, whose weights NumPy draws from a seed. The test needs no PyTorch.
"""

import json
import pathlib
import sys
import types
from unittest import mock

import numpy as np

FIXTURE = pathlib.Path(__file__).with_suffix(".npz")
CLASSES, IMAGES, SUBNETS, SEED = 50, 2, 10, 7
RESOLUTIONS = (32, 36, 40, 44, 48, 52, 56, 60, 64, 68)
STAGES = ((24, False), (40, True), (80, False), (112, True), (160, True))


def layout():
    """Names and shapes of the official checkpoint, with fewer classes."""

    def normalised(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.bn.{part}", (channels,)

    def convolution(name, outputs, inputs, kernel=1, wrapped=""):
        shape = (outputs, inputs, kernel, kernel)
        yield f"{name}.conv{'.conv' if wrapped else ''}.weight", shape
        yield from normalised(f"{name}{wrapped}", outputs)

    yield from convolution("first_conv", 16, 3, 3)
    yield from convolution("blocks.0.mobile_inverted_conv.depth_conv", 16, 1, 3)
    yield from convolution("blocks.0.mobile_inverted_conv.point_linear", 16, 16)
    inputs, block = 16, 1
    for channels, gated in STAGES:
        for _ in range(4):
            name, middle = f"blocks.{block}.mobile_inverted_conv", 6 * inputs
            yield from convolution(
                f"{name}.inverted_bottleneck", middle, inputs, 1, ".bn"
            )
            yield from convolution(f"{name}.depth_conv", middle, 1, 7, ".bn")
            for size in (5, 3):
                matrix = f"{name}.depth_conv.conv.{size + 2}to{size}_matrix"
                yield matrix, (size**2, size**2)
            if gated:
                reduced = (middle // 4 + 4) // 8 * 8
                for part, shape in (
                    ("reduce", (reduced, middle, 1, 1)),
                    ("expand", (middle, reduced, 1, 1)),
                ):
                    yield f"{name}.depth_conv.se.fc.{part}.weight", shape
                    yield f"{name}.depth_conv.se.fc.{part}.bias", shape[:1]
            yield from convolution(f"{name}.point_linear", channels, middle, 1, ".bn")
            inputs, block = channels, block + 1
    yield from convolution("final_expand_layer", 960, 160)
    yield "feature_mix_layer.conv.weight", (1280, 960, 1, 1)
    yield "classifier.linear.weight", (CLASSES, 1280)
    yield "classifier.linear.bias", (CLASSES,)


def state_dict(seed=SEED):
    """Random weights under the checkpoint's names; nothing is zero, one or identity."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, shape in layout():
        if name.endswith("_var"):
            value = rng.uniform(0.5, 1.5, shape)
        elif name.endswith("_matrix"):
            value = np.eye(shape[0]) + rng.normal(0, 0.05, shape)
        elif ".bn." in name and name.endswith("weight"):
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            value = rng.normal(0, 0.05, shape)
        else:
            value = rng.normal(0, np.sqrt(2.3 / np.prod(shape[1:])), shape)
            if name.startswith("classifier"):
                value *= 0.5  # logits of a usual size: the tolerance is absolute
        state[name] = value.astype(np.float32)
    return state


def subnets(seed=SEED):
    """Random sub-networks, as their code takes them, and images in 0..255."""
    rng = np.random.default_rng(seed)
    for resolution in RESOLUTIONS[:SUBNETS]:
        chosen = {
            "ks": rng.choice((3, 5, 7), 20).tolist(),
            "e": rng.choice((3, 4, 6), 20).tolist(),
            "d": rng.choice((2, 3, 4), 5).tolist(),
            "r": resolution,
        }
        coarse = rng.uniform(0, 255, (IMAGES, 4, 4, 3))  # else they look all alike
        places = np.arange(resolution) * 4 // resolution
        images = coarse[:, places][:, :, places]
        images = np.clip(images + rng.normal(0, 20, images.shape), 0, 255)
        yield chosen, images.astype(np.uint8)


def record():
    """Have PyTorch compute the logits, and write the fixture."""
    import torch

    # Their package imports it for data, which is not needed here.
    transforms = types.SimpleNamespace(RandomResizedCrop=object, functional=None)
    for name in ("", ".transforms", ".transforms.functional", ".datasets"):
        sys.modules[f"torchvision{name}"] = mock.MagicMock(transforms=transforms)
    sys.modules["torchvision.transforms"] = transforms
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3

    network = OFAMobileNetV3(
        CLASSES,
        dropout_rate=0,
        ks_list=[3, 5, 7],
        expand_ratio_list=[3, 4, 6],
        depth_list=[2, 3, 4],
    )
    state = {name: torch.from_numpy(value) for name, value in state_dict().items()}
    own = {name for name in network.state_dict() if "num_batches" not in name}
    assert len(own) == len(state), (len(own), len(state))
    network.load_state_dict(state)
    network.eval()
    mean, std = (
        torch.tensor(values)
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    logits = []
    for chosen, images in subnets():
        network.set_active_subnet(chosen["ks"], chosen["e"], chosen["d"])
        pixels = (torch.from_numpy(images) / 255 - mean) / std
        with torch.no_grad():
            logits.append(network(pixels.permute(0, 3, 1, 2)).numpy())
    versions = {"torch": torch.__version__, "numpy": np.__version__}
    np.savez(FIXTURE, logits=np.stack(logits), versions=np.array(json.dumps(versions)))
    spread = [f"{np.std(x):.2f}, {np.ptp(x, 0).max():.2f}" for x in logits]
    print(f"Wrote {FIXTURE}.")
    print(f"Standard deviations, differences of images: {'; '.join(spread)}.")


if __name__ == "__main__":
    record()
