# jaxgan with CUDA 13: docs/scale.md has the command. The wheels of jax bring CUDA itself; the host needs NVIDIA's driver,
# 580 or newer, and its container toolkit.
FROM python:3.12-slim

# pesq is built from source, and training on a CPU compiles a C++ kernel.
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ libc6-dev && rm -rf /var/lib/apt/lists/*

COPY . /opt/jaxgan
# Any user may write to /data, also without a volume.
RUN pip install --no-cache-dir '/opt/jaxgan[cuda]' && useradd --create-home jaxgan && install -d -m 1777 /data

# --gpus all needs the first two where the base image is not NVIDIA's. Users of the host have no home here.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    HOME=/tmp JAXGAN_CACHE=/data/.jaxgan-cache
USER jaxgan
WORKDIR /data
ENTRYPOINT ["jaxgan"]
