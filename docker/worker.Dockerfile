# A worker with torch. Build from the repository's root: docker build -f docker/worker.Dockerfile --build-arg DEVICE=cuda .
# DEVICE is cpu or cuda. The pinned torch runs on both; TORCH_INDEX may name an index of smaller builds for the CPU.
FROM python:3.11-slim

ARG DEVICE=cpu
ARG TORCH_INDEX=
ENV PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# For compiling networks; without it they run as they are.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /radii
COPY pyproject.toml constraints.txt README.md ./
COPY rs_core rs_core
COPY worker worker
COPY service service
COPY migrations migrations
RUN if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" torch==2.14.1 torchvision==0.29.1; fi \
 && pip install -c constraints.txt -e '.[worker,attacks,corruptions]' \
 && pip install -c constraints.txt --no-deps imagecorruptions-imaug \
 && useradd --system --uid 10001 radii \
 && install -d -o radii -g radii /data

USER radii
ENV RADII_DATA=/data RADII_LOG_FORMAT=json RADII_DEVICE=${DEVICE} \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME /data
STOPSIGNAL SIGTERM
CMD ["radii", "worker"]
