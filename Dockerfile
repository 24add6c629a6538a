# The gateway: `docker build -t callmissed-gateway .`; docs/deployment.md says how to run it.
FROM python:3.11-slim AS packages
# requirements-otel.lock adds the exporter of traces.
ARG LOCK=requirements.lock
WORKDIR /build
COPY requirements*.lock ./
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary=:all: -r "$LOCK"

FROM python:3.11-slim
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin gateway \
    && install --directory --owner=gateway --group=gateway --mode=700 /data
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/gateway
COPY catalog catalog
COPY channels channels
COPY scripts scripts
COPY app app
COPY deploy/healthcheck.py deploy/healthcheck.py
RUN /opt/venv/bin/python -m compileall -q .
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 HOST=0.0.0.0 PORT=8000 \
    DATABASE_URL=sqlite:////data/gateway.db BLOB_DIR=/data/blobs
USER gateway
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["python", "deploy/healthcheck.py"]
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve"]
