# The HTTP service: no torch, no GPU. Build from the repository's root: docker build -f docker/service.Dockerfile .
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm
FROM ${PYTHON_IMAGE}

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONSAFEPATH=1
WORKDIR /radii
COPY docker/service.requirements.txt docker/
RUN pip install --require-hashes --no-deps --only-binary :all: -r docker/service.requirements.txt
# .dockerignore leaves only the package and its metadata.
COPY . .
RUN pip install --no-deps --no-build-isolation -e . \
 && useradd --system --uid 10001 --user-group radii \
 && install -d -o radii -g radii /data

USER radii
ENV RADII_DATA=/data RADII_LOG_FORMAT=json MPLCONFIGDIR=/data/cache/matplotlib NUMBA_CACHE_DIR=/data/cache/numba
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["python", "-P", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["radii", "up", "--host", "0.0.0.0", "--port", "8000"]
