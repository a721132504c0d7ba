import json

import keras
import numpy as np
import pytest

from zoo.layers import BicubicResize, FitResolution, bicubic_matrix
from zoo.training.augmentation import RandomResizedCrop, RandomShift


def random_images(*shape, low=0, high=255, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, shape).astype("float32")


def as_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


# Bicubic resize


def cubic(x, a=-0.75):
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    if x < 2:
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return 0.0


def slow_bicubic_matrix(inputs, outputs):
    matrix = np.zeros((outputs, inputs))
    for i in range(outputs):
        centre = (i + 0.5) * inputs / outputs - 0.5
        for source in range(-3, inputs + 3):
            clamped = min(max(source, 0), inputs - 1)
            matrix[i, clamped] += cubic(centre - source)
    return matrix


SIZES = [(1, 8), (2, 10), (3, 8), (8, 8), (9, 10), (18, 8), (36, 10), (4, 1), (7, 5)]


@pytest.mark.parametrize("inputs, outputs", SIZES)
def test_matrix_matches_the_scalar_convolution(inputs, outputs):
    matrix = bicubic_matrix(inputs, outputs)
    assert matrix.shape == (outputs, inputs)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix, slow_bicubic_matrix(inputs, outputs), atol=1e-6)


@pytest.mark.parametrize("inputs, outputs", SIZES)
def test_rows_of_the_matrix_sum_to_1_and_mirror(inputs, outputs):
    matrix = bicubic_matrix(inputs, outputs)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 10])
def test_equal_sizes_give_the_identity(size):
    np.testing.assert_array_equal(bicubic_matrix(size, size), np.eye(size))


@pytest.mark.parametrize(
    "inputs, outputs, row, first, weights",
    [
        (8, 4, 1, 1, [-0.09375, 0.59375, 0.59375, -0.09375]),
        (8, 4, 0, 0, [0.5, 0.59375, -0.09375]),  # clamped
        (4, 8, 3, 0, [-0.10546875, 0.87890625, 0.26171875, -0.03515625]),
        (8, 16, 8, 2, [-0.03515625, 0.26171875, 0.87890625, -0.10546875]),
    ],
)
def test_known_weights_of_a_minus_three_quarters(inputs, outputs, row, first, weights):
    expected = np.zeros(inputs)
    expected[first : first + len(weights)] = weights
    np.testing.assert_allclose(
        bicubic_matrix(inputs, outputs)[row], expected, atol=1e-7
    )


@pytest.mark.parametrize("shape", [(8, 8), (3, 11), (12, 2), (1, 1)])
@pytest.mark.parametrize("size", [8, 10])
def test_resize_equals_the_double_sum(shape, size):
    images = random_images(2, *shape, 3, low=-1, high=1)
    rows, columns = (slow_bicubic_matrix(side, size) for side in shape)
    expected = np.zeros((2, size, size, 3))
    for i, j in np.ndindex(size, size):
        for h, w in np.ndindex(*shape):
            expected[:, i, j] += rows[i, h] * columns[j, w] * images[:, h, w]
    layer = BicubicResize(size)
    found = as_numpy(layer(images))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.shape == layer.compute_output_shape(images.shape)


@pytest.mark.parametrize("shape", [(5, 5), (8, 8), (18, 7)])
def test_resize_keeps_a_constant(shape):
    found = as_numpy(BicubicResize(8)(np.full((1, *shape, 2), 3.25, "float32")))
    np.testing.assert_allclose(found, np.full((1, 8, 8, 2), 3.25), rtol=1e-6)


def test_resize_to_the_same_size_changes_nothing():
    images = random_images(2, 8, 8, 3)
    np.testing.assert_allclose(as_numpy(BicubicResize(8)(images)), images, rtol=1e-6)


@pytest.mark.parametrize("shape", [(None, 8, 3), (8, None, 3), (None, None, 3)])
def test_resize_needs_a_fixed_size(shape):
    with pytest.raises(ValueError, match="shrink needs a fixed height and width.*None"):
        BicubicResize(8, name="shrink")(keras.Input(shape))


def test_resize_has_a_symbolic_shape_and_no_weights():
    layer = BicubicResize(10)
    assert layer(keras.Input((6, 7, 5))).shape == (None, 10, 10, 5)
    assert layer.weights == []


# Fit to the resolution


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("crop, training", [(1.0, False), (1.0, True), (0.875, True)])
def test_images_of_the_resolution_pass_unchanged(crop, training, dtype):
    images = random_images(2, 32, 32, 3).astype(dtype)
    found = FitResolution(32, crop)(images, training=training)
    np.testing.assert_array_equal(as_numpy(found), images)


@pytest.mark.parametrize(
    "resolution, crop, side, low",
    [(32, 0.875, 37, 2), (56, 0.875, 64, 4), (36, 0.5, 72, 18), (32, 0.99, 33, 0)],
)
def test_outside_training_the_centre_is_cropped(resolution, crop, side, low):
    images = random_images(2, side, side, 3)
    found = as_numpy(FitResolution(resolution, crop)(images))
    expected = images[:, low : low + resolution, low : low + resolution]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(8, 8), (32, 32), (50, 20), (33, 64)])
@pytest.mark.parametrize("training", [False, True])
def test_other_sizes_are_resized_and_then_cropped(shape, training):
    images = random_images(2, *shape, 3)
    layer = FitResolution(32, 0.875)
    found = as_numpy(layer(images, training=training))
    assert found.shape == layer.compute_output_shape(images.shape) == (2, 32, 32, 3)
    side, low = (32, 0) if training else (37, 2)
    whole = as_numpy(FitResolution(side)(images, training=True))
    expected = whole[:, low : low + 32, low : low + 32]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(8, 8), (50, 20), (71, 36)])
def test_fitting_keeps_a_constant(shape):
    found = as_numpy(FitResolution(36)(np.full((1, *shape, 3), 77, "float32")))
    np.testing.assert_allclose(found, np.full((1, 36, 36, 3), 77), rtol=1e-5)


@pytest.mark.parametrize("factor", [2, 4])
def test_shrinking_averages_instead_of_skipping(factor):
    images = random_images(1, 32 * factor, 32 * factor, 3)
    found = as_numpy(FitResolution(32)(images))
    assert found.std() < 0.9 * images.std() / factor
    assert found.mean() == pytest.approx(images.mean(), rel=0.02)


@pytest.mark.parametrize("size", [(None, None), (40, 28)])
def test_fitting_has_a_symbolic_shape(size):
    assert FitResolution(32, 0.875)(keras.Input((*size, 3))).shape == (None, 32, 32, 3)


def test_a_model_of_unknown_size_fits_every_size():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, FitResolution(32, 0.875)(inputs))
    for side in (20, 37, 50):
        images = random_images(1, side, side, 3)
        expected = as_numpy(FitResolution(32, 0.875)(images))
        np.testing.assert_allclose(as_numpy(model(images)), expected, rtol=1e-5)


@pytest.mark.parametrize("crop", [0, -0.5, 1.01, float("nan")])
def test_a_wrong_crop_is_rejected(crop):
    with pytest.raises(ValueError, match=f"crop is {crop}; expected more than 0"):
        FitResolution(32, crop)


# Random shift


def all_shifts(image, pixels):
    h, w, _ = image.shape
    padded = np.pad(image, [(pixels, pixels), (pixels, pixels), (0, 0)])
    return {
        (dy, dx): padded[pixels + dy : pixels + dy + h, pixels + dx : pixels + dx + w]
        for dy in range(-pixels, pixels + 1)
        for dx in range(-pixels, pixels + 1)
    }


def shift_of(image, shifted, pixels):
    (shift,) = [
        shift
        for shift, expected in all_shifts(image, pixels).items()
        if np.allclose(shifted, expected, atol=0.01)
    ]
    return shift


@pytest.mark.parametrize("shape", [(8, 8), (6, 9), (32, 32)])
def test_a_shift_moves_by_whole_pixels_and_fills_with_black(shape):
    images = random_images(40, *shape, 3, low=1)
    shifted = as_numpy(RandomShift(3, seed=1)(images, training=True))
    shifts = [shift_of(*pair, pixels=3) for pair in zip(images, shifted)]
    assert len(set(shifts)) > 10


@pytest.mark.parametrize("pixels", [0, 1, 2])
def test_every_shift_up_to_the_limit_occurs(pixels):
    images = random_images(400, 6, 6, 1, low=1)
    shifted = as_numpy(RandomShift(pixels, seed=1)(images, training=True))
    shifts = {shift_of(*pair, pixels=pixels) for pair in zip(images, shifted)}
    assert shifts == set(all_shifts(images[0], pixels))


# Random resized crop


@pytest.mark.parametrize("shape", [(4, 12, 12, 3), (2, 9, 14, 1)])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_crop_has_the_images_shape(shape, dtype):
    layer = RandomResizedCrop(seed=1)
    found = layer(random_images(*shape).astype(dtype), training=True)
    assert tuple(found.shape) == shape == layer.compute_output_shape(shape)


@pytest.mark.parametrize("scale", [(0.08, 1), (0.08, 0.08), (0.9, 1)])
@pytest.mark.parametrize("low, high", [(0, 255), (100, 200)])
def test_a_crop_stays_within_the_range_of_its_image(scale, low, high):
    images = random_images(100, 12, 12, 3, low=low, high=high)
    found = as_numpy(RandomResizedCrop(scale, seed=1)(images, training=True))
    assert np.all(found.max((1, 2)) <= images.max((1, 2)) + 0.01)
    assert np.all(found.min((1, 2)) >= images.min((1, 2)) - 0.01)


@pytest.mark.parametrize("shape", [(12, 12), (9, 14)])
def test_a_crop_keeps_a_constant(shape):
    images = np.full((100, *shape, 1), 200, "float32")
    found = as_numpy(RandomResizedCrop(seed=1)(images, training=True))
    np.testing.assert_allclose(found, images, rtol=1e-4)


@pytest.mark.parametrize("side", [8, 11, 32])
def test_a_crop_of_everything_is_the_identity(side):
    images = random_images(5, side, side, 3)
    found = as_numpy(RandomResizedCrop((1, 1), (1, 1))(images, training=True))
    np.testing.assert_allclose(found, images, atol=0.01)


def test_a_crop_keeps_to_scale_and_ratio_and_to_the_image():
    side, middle = 32, slice(15, 17)
    ramp = np.stack(np.meshgrid(range(side), range(side), indexing="ij"), -1)
    images = np.repeat(ramp[None].astype("float32"), 200, 0)
    layer = RandomResizedCrop(scale=(0.25, 0.5), ratio=(0.8, 1.25), seed=1)
    found = as_numpy(layer(images, training=True))
    low, high = found[:, 15, middle, 1].T, found[:, middle, 15, 0].T
    width, height = low[1] - low[0], high[1] - high[0]  # shares of the image's own
    area, ratio = width * height, width / height
    for values, (least, most) in ((area, (0.25, 0.5)), (ratio, (0.8, 1.25))):
        assert least - 1e-3 <= values.min() < least + 0.1 * (most - least)
        assert most + 1e-3 >= values.max() > most - 0.1 * (most - least)
    for start, extent in ((low.mean(0), width), (high.mean(0), height)):
        left = start + 0.5 - extent * side / 2
        assert np.all(left > -0.01)
        assert np.all(left + extent * side < side + 0.01)
        assert left.std() > 2


# Both augmentations

AUGMENTATIONS = {
    "shift": lambda **kwargs: RandomShift(3, **kwargs),
    "crop": lambda **kwargs: RandomResizedCrop((0.3, 0.9), (0.5, 2.0), **kwargs),
}
each_augmentation = pytest.mark.parametrize(
    "make", AUGMENTATIONS.values(), ids=AUGMENTATIONS
)


@each_augmentation
def test_nothing_happens_outside_training(make):
    images = random_images(4, 8, 8, 3)
    found = make(seed=1)(images, training=False)
    np.testing.assert_array_equal(as_numpy(found), images)


@each_augmentation
def test_a_seed_decides_the_result(make):
    images = random_images(8, 8, 8, 3)
    first, same, other = (
        as_numpy(make(seed=seed)(images, training=True)) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


@each_augmentation
def test_every_call_and_every_image_differs(make):
    image = random_images(1, 8, 8, 3)
    layer = make(seed=1)
    calls = [as_numpy(layer(np.repeat(image, 16, 0), training=True)) for _ in range(2)]
    assert not np.allclose(*calls)
    assert not np.allclose(calls[0], calls[0][:1])


# Serialisation


@pytest.mark.parametrize(
    "layer, arguments",
    [
        (BicubicResize(10, name="a"), {"size": 10}),
        (FitResolution(40, 0.875), {"resolution": 40, "crop": 0.875}),
        (RandomShift(2, seed=9), {"pixels": 2, "seed": 9}),
        (
            RandomResizedCrop((0.2, 0.9), (0.5, 2.0), seed=9),
            {"scale": (0.2, 0.9), "ratio": (0.5, 2.0), "seed": 9},
        ),
    ],
)
def test_layers_survive_serialisation(layer, arguments):
    text = json.dumps(keras.saving.serialize_keras_object(layer))
    restored = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(restored) is type(layer)
    assert restored.get_config() == layer.get_config()
    assert {name: getattr(restored, name) for name in arguments} == arguments
    images = random_images(4, 12, 12, 3)
    found, expected = (as_numpy(x(images, training=True)) for x in (restored, layer))
    np.testing.assert_array_equal(found, expected)
