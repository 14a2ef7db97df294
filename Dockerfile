# wsvs in a container, for a CPU or for CUDA:
#     docker build --tag wsvs .
#     docker build --tag wsvs:cuda --build-arg VARIANT=cuda .
# Packages have the versions of requirements.lock; torch's CUDA libraries have those that torch itself demands.
# docs/containers.md says how to run it.
FROM python:3.11.14-slim-bookworm

ARG VARIANT=cpu
ARG EXTRAS=maxflow,web,wandb,tensorboard,mlflow,review,sweeps,hub,onnx

# libfribidi: Arabic and Hebrew in legends of overlays
RUN apt-get update && apt-get install --yes --no-install-recommends libfribidi0 && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY requirements.lock ./
# By itself, so that a change of the code does not download torch again.
RUN case "$VARIANT" in \
        cpu) index="--index-url https://download.pytorch.org/whl/cpu --extra-index-url https://pypi.org/simple" ;; \
        cuda) index="" ;; \
        *) echo "VARIANT is cpu or cuda, not $VARIANT" >&2; exit 1 ;; \
    esac; \
    pip install --no-cache-dir $index "$(grep '^torch==' requirements.lock)" -c requirements.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY conf conf
COPY hydra_plugins hydra_plugins
COPY wsvs wsvs
RUN pip install --no-cache-dir -c requirements.lock ".[$EXTRAS]"

# Files that the container writes belong to this user; `docker run --user` chooses another. Loops compiled by numba and
# caches of other packages go below HOME, which any user may write.
RUN useradd --create-home --uid 1000 wsvs && mkdir /data && chown wsvs /data && chmod 777 /home/wsvs /data
ENV HOME=/home/wsvs NUMBA_CACHE_DIR=/home/wsvs/.numba
USER wsvs
WORKDIR /data
ENTRYPOINT ["wsvs"]
CMD ["--help"]
