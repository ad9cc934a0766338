# One image for every service and for audience-ops (migrations, topics, credentials): they share their packages.
#   docker build -f docker/services.Dockerfile -t audience-manager/services:0.1.0 .
#   docker build -f docker/services.Dockerfile --target sbom --output type=local,dest=. .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# --- the project as a wheel: whatever has to be compiled is compiled here ---------------------------------------------
FROM ${PYTHON_IMAGE} AS engine
# Debian's Rust for browsers is newer than its other one.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates cargo-web rustc-web gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY engine engine
# Cargo looks for certificates in a variable of its own; where the build has some, they are in this one.
RUN CARGO_HTTP_CAINFO="${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" \
    pip wheel --quiet --no-cache-dir --no-deps --wheel-dir /wheels ./engine/python

FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --quiet --no-cache-dir --no-deps --wheel-dir /wheels .

# --- its packages, exactly those of the lock file ---------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS packages
RUN python -m venv /opt/venv
COPY locks/services.txt /tmp/services.txt
RUN /opt/venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/services.txt
COPY --from=engine /wheels /wheels
COPY --from=wheel /wheels /wheels
RUN /opt/venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps --no-index /wheels/*.whl

# --- what is in it, as CycloneDX --------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS inventory
RUN pip install --quiet --no-cache-dir --disable-pip-version-check cyclonedx-bom==7.5.0
COPY --from=packages /opt/venv /opt/venv
RUN cyclonedx-py environment --output-reproducible --of JSON -o /services.cdx.json /opt/venv/bin/python

FROM scratch AS sbom
COPY --from=inventory /services.cdx.json /

# --- the image: no compiler and no installer of packages --------------------------------------------------------------
FROM packages AS lean
RUN rm -rf /opt/venv/lib/python3.11/site-packages/pip /opt/venv/lib/python3.11/site-packages/pip-* \
    /opt/venv/lib/python3.11/site-packages/setuptools* /opt/venv/bin/pip*

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Audience Manager services" \
      org.opencontainers.image.description="ingest-api, segment-api, projection and audience-ops" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 audience && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp audience
COPY --from=lean /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
# `python -m services.ingest`, `python -m services.segments`, …; without a command it tells what audience-ops can do.
CMD ["audience-ops", "--help"]
