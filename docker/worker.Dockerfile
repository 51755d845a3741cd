# A worker with torch. Build from the repository's root: docker build -f docker/worker.Dockerfile --build-arg DEVICE=cuda .
# DEVICE is cpu or cuda. The pinned torch runs on both; TORCH_INDEX may name an index of smaller builds for the CPU, whose hashes
# are not checked.
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm
FROM ${PYTHON_IMAGE}

ARG DEVICE=cpu
ARG TORCH_INDEX=
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONSAFEPATH=1
# For compiling networks; without it they run as they are.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /radii
COPY docker/torch.requirements.txt docker/worker.requirements.txt docker/
RUN if [ -n "$TORCH_INDEX" ]; \
 then pip install --no-deps --index-url "$TORCH_INDEX" torch==2.14.1 torchvision==0.29.1; \
 else pip install --require-hashes --no-deps --only-binary :all: -r docker/torch.requirements.txt; fi \
 && pip install --require-hashes --no-deps --only-binary :all: -r docker/worker.requirements.txt
# .dockerignore leaves only the package and its metadata.
COPY . .
RUN pip install --no-deps --no-build-isolation -e . \
 && useradd --system --uid 10001 --user-group radii \
 && install -d -o radii -g radii /data

USER radii
ENV RADII_DATA=/data RADII_LOG_FORMAT=json RADII_DEVICE=${DEVICE} \
    MPLCONFIGDIR=/data/cache/matplotlib NUMBA_CACHE_DIR=/data/cache/numba \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME /data
STOPSIGNAL SIGTERM
CMD ["radii", "worker"]
