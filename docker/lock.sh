#!/bin/sh
# Writes docker/*.requirements.txt: what the images install, each file of each package with its hash. Versions are those of
# constraints.txt. Needs uv (`pipx install uv`, or UV=/path/to/uv); `make requirements` runs it.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-uv}
command -v "$uv" >/dev/null || { echo "expected uv, got no such program: install it, or set UV to its path" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo 'setuptools>=77' > "$work/build.in"
echo 'imagecorruptions-imaug' > "$work/corruptions.in"
locked() {
  "$uv" pip compile --quiet --no-config --universal --python-version 3.11 --constraints constraints.txt --generate-hashes --no-annotate \
    --no-header "$@"
}
# opencv-python has no place in an image without libGL; see pyproject.toml.
locked --no-deps "$work/corruptions.in" > "$work/corruptions.txt"
locked pyproject.toml "$work/build.in" --extra server > "$work/service.txt"
locked pyproject.toml "$work/build.in" --extra server --extra torch --extra corruptions > "$work/all.txt"
cat "$work/corruptions.txt" >> "$work/all.txt"

head='# Written by `make requirements`. Installed with `pip install --require-hashes --no-deps`.'
gpu='^(torch|torchvision|triton|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*)=='
{ echo "$head"; cat "$work/service.txt"; } > docker/service.requirements.txt
{ echo "$head"; awk -v gpu="$gpu" '/^[^ ]/ { mine = $0 !~ gpu } mine' "$work/all.txt"; } > docker/worker.requirements.txt
{ echo "$head"; awk -v gpu="$gpu" '/^[^ ]/ { mine = $0 ~ gpu } mine' "$work/all.txt"; } > docker/torch.requirements.txt
