# One image for worker, beat, Flower and status API (`runtime`), and one more that runs the tests (`tests`).
FROM python:3.12-slim-bookworm AS base
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin enrichment \
    && install --directory --owner=enrichment --mode=700 /var/lib/flow-enrichment
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ENRICHMENT_SPOOL_DIR=/var/lib/flow-enrichment/spool

# Without its source the package brings what it depends on, in a layer that a change of ours does not touch.
FROM base AS dependencies
WORKDIR /app
RUN python -m venv --without-pip /venv
COPY LICENSE pyproject.toml requirements.txt ./
RUN pip --python=/venv/bin/python install --no-cache-dir --constraint=requirements.txt ".[worker,status]"

FROM dependencies AS tests
RUN pip --python=/venv/bin/python install --no-cache-dir --constraint=requirements.txt ".[dev]"
COPY . .
RUN pip --python=/venv/bin/python install --no-cache-dir --no-deps --editable .
ENV TESTS_IN_IMAGE=1
USER enrichment
HEALTHCHECK --start-period=30s CMD ["flowctl", "health", "api"]
CMD ["python", "-m", "masterflow.status", "--host=0.0.0.0"]

FROM dependencies AS build
COPY . .
RUN pip --python=/venv/bin/python install --no-cache-dir --no-deps --force-reinstall .

FROM base AS runtime
COPY --from=build /venv /venv
USER enrichment
HEALTHCHECK --start-period=30s --timeout=20s CMD ["flowctl", "health", "worker"]
CMD ["flowctl", "worker"]
