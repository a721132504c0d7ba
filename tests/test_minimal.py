"""docs/minimal.py runs, and counts and skips as the package does."""

import pathlib

import numpy as np

from zoo import cost

CODE = (pathlib.Path(__file__).parent.parent / "docs" / "minimal.py").read_text("utf-8")


def test_the_whole_idea_fits_on_a_page(capsys):
    assert len(CODE.splitlines()) <= 80
    names = {"__name__": "minimal"}
    code = CODE.replace("epochs=40, batch_size=64", "epochs=2")
    code = code.replace("verbose=0", "batch_size=450, verbose=0")
    exec(compile(code, "minimal.py", "exec"), names)
    assert capsys.readouterr().out.count("average MACs") == 4

    # What leads to a segment's logits is all of it.
    counted = [
        cost.count_layers(segment.inputs[0], segment.outputs[1])[0]
        for segment in names["segments"]
    ]
    assert list(names["macs"]) == counted

    images = names["x_test"][:50]
    answers = [logits.argmax(1) for logits in names["network"].predict(images)]
    for threshold, k in ((0, 0), (1.1, 2)):
        found, left = names["predict_early"](images, threshold)
        assert set(left) == {k}
        np.testing.assert_array_equal(found, answers[k])
