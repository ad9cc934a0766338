# Flink with PyFlink, the Kafka connector, S3 and the job: the chart's own Flink, and the image of the operator's.
#   docker build -f docker/flink.Dockerfile -t audience-manager/flink:0.1.0 .
# The base is Debian, because thread mode loads Python into the JVM as a shared library, and Debian has all three.
ARG DEBIAN_IMAGE=debian:12-slim
ARG MAVEN_IMAGE=maven:3.9-eclipse-temurin-17

FROM ${MAVEN_IMAGE} AS jars
COPY local/flink/pom.xml /connector/pom.xml
COPY docker/flink/pom.xml /s3/pom.xml
RUN mvn -B -q -f /connector/pom.xml dependency:copy-dependencies -DoutputDirectory=/jars/lib \
 && mvn -B -q -f /s3/pom.xml dependency:copy-dependencies -DoutputDirectory=/jars/plugins/s3-fs-hadoop

FROM ${DEBIAN_IMAGE} AS python
RUN apt-get update && apt-get install -y --no-install-recommends python3.11 python3.11-venv libpython3.11 \
 && rm -rf /var/lib/apt/lists/* && python3.11 -m venv /opt/venv

# --- the project as a wheel: whatever has to be compiled is compiled here ---------------------------------------------
FROM python AS engine
# Debian's Rust for browsers is newer than its other one.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates cargo-web rustc-web gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY engine engine
# Cargo looks for certificates in a variable of its own; where the build has some, they are in this one.
RUN CARGO_HTTP_CAINFO="${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" \
    /opt/venv/bin/pip wheel --quiet --no-cache-dir --no-deps --wheel-dir /wheels ./engine/python

FROM python AS wheel
WORKDIR /src
COPY . .
RUN /opt/venv/bin/pip wheel --quiet --no-cache-dir --no-deps --wheel-dir /wheels .

# --- its packages, and Flink's distribution out of the wheel ----------------------------------------------------------
FROM python AS packages
COPY locks/flink.txt /tmp/flink.txt
RUN /opt/venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/flink.txt
COPY --from=engine /wheels /wheels
COPY --from=wheel /wheels /wheels
RUN /opt/venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps --no-index /wheels/*.whl
# FLINK_HOME is PyFlink's own folder, moved to where operators look for it; the wheel's place leads there.
RUN site=/opt/venv/lib/python3.11/site-packages/pyflink && mkdir -p /opt/flink \
 && for part in bin conf lib opt plugins; do mv "$site/$part" "/opt/flink/$part" && ln -s "/opt/flink/$part" "$site/$part"; done \
 && rm -rf "$site/examples" "$site/log" /opt/flink/opt/flink-sql-client-* \
 && mv /opt/flink/opt/flink-python-*.jar /opt/flink/lib/ \
 && cp /opt/flink/lib/flink-python-*.jar /opt/flink/opt/ && chmod 755 /opt/flink/bin/*.sh /opt/flink/bin/flink
# --- what is in it, as CycloneDX --------------------------------------------------------------------------------------
FROM packages AS inventory
RUN python3.11 -m venv /tmp/tool \
 && /tmp/tool/bin/pip install --quiet --no-cache-dir --disable-pip-version-check cyclonedx-bom==7.5.0 \
 && /tmp/tool/bin/cyclonedx-py environment --output-reproducible --of JSON -o /flink.cdx.json /opt/venv/bin/python

FROM scratch AS sbom
COPY --from=inventory /flink.cdx.json /

FROM packages AS lean
COPY --from=jars /jars/lib /opt/flink/lib
COPY --from=jars /jars/plugins /opt/flink/plugins
COPY docker/flink/entrypoint.sh /docker-entrypoint.sh
RUN rm -rf /opt/venv/lib/python3.11/site-packages/pip /opt/venv/lib/python3.11/site-packages/pip-* \
    /opt/venv/lib/python3.11/site-packages/setuptools* /opt/venv/bin/pip* && chmod 755 /docker-entrypoint.sh

# --- the image --------------------------------------------------------------------------------------------------------
FROM ${DEBIAN_IMAGE}
LABEL org.opencontainers.image.title="Audience Manager on Flink" \
      org.opencontainers.image.description="Flink with PyFlink and the streaming job rule_evaluation" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN mkdir -p /usr/share/man/man1 && apt-get update \
 && apt-get install -y --no-install-recommends python3.11 libpython3.11 openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 9999 flink && useradd --uid 9999 --gid 9999 --no-create-home --home-dir /opt/flink flink
COPY --from=lean /opt/venv /opt/venv
COPY --from=lean /opt/flink /opt/flink
COPY --from=lean /docker-entrypoint.sh /docker-entrypoint.sh
ENV FLINK_HOME=/opt/flink FLINK_CONF_DIR=/opt/flink/conf FLINK_LOG_DIR=/tmp/log \
    PATH=/opt/venv/bin:/opt/flink/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/opt/venv/lib/python3.11/site-packages PYTHONSAFEPATH=1 LANG=C.UTF-8
USER 9999:9999
WORKDIR /opt/flink
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD ["job"]
