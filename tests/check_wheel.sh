#!/usr/bin/env bash
# Usage: tests/check_wheel.sh WHEEL [VENV]
# Installs a wheel in a new environment and uses it there, away from the sources:
# load, predict, export, run what was exported, search. `make wheel-check` calls it.
# What the wheel depends on is installed, too, or comes from the environment VENV.
set -euo pipefail

wheel=$(realpath "$1")
others=${2:+$(realpath "$2")}
bytes=$(stat -c %s "$wheel")
[ "$bytes" -lt 60000000 ] || { echo "$wheel has $bytes bytes; expected fewer than 60 MB" >&2; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset PYTHONPATH
export TF_CPP_MIN_LOG_LEVEL=3
"${PYTHON:-python3}" -m venv .venv
. .venv/bin/activate
if [ -n "$others" ]; then
  python -m pip install --quiet --no-deps "$wheel"
  packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
  packages "$others" > "$(packages .venv)/others.pth"
else
  python -m pip install --quiet "$wheel[search,export]"
fi

python - <<'END'
import pathlib

from PIL import Image

import zoo

assert pathlib.Path(zoo.__file__).is_relative_to(pathlib.Path.cwd()), zoo.__file__
test = zoo.data.load("digits").test
model = zoo.load("aebnas_digits")
right = (model.predict_early(test.images).labels == test.labels).mean()
assert round(100 * right, 2) == 98.33, right
for name in zoo.list_models():
    assert zoo.card(name)
Image.fromarray(test.images[0]).save("digit.png")
END

aebnas zoo export aebnas_digits --out on_device
python on_device/run.py digit.png
# Exits on a model of the wheel: whole networks would take a minute to compile.
aebnas search run --data digits --backbone aebnas_digits --target-macs 1.5e6 \
  --trials 3 --initial-trials 2 --epochs 1 --train-images 200 --directory my_search
aebnas search front my_search --max-macs 1e8 --export found
aebnas zoo predict found digit.png
aebnas figures report my_search found --out report.html
echo "The wheel works: $bytes bytes, $(basename "$wheel")"
