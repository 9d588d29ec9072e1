# One image for the worker, Prefect's server and MLflow, so that all of them agree on every version.
FROM python:3.11.14-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PREFECT_WORKER_WEBSERVER_HOST=0.0.0.0 \
    PREFECT_WORKER_WEBSERVER_PORT=8080

RUN useradd --create-home --uid 10001 edpipe && mkdir --parents /data /app && chown edpipe:edpipe /data /app
WORKDIR /app

# What is pinned changes seldom: its layer is kept when the code changes.
COPY pyproject.toml constraints.txt README.md ./
COPY scripts/requirements.py scripts/
RUN python scripts/requirements.py servers > /tmp/requirements.txt \
    && pip install --constraint constraints.txt --requirement /tmp/requirements.txt

COPY . .
RUN pip install --no-deps --editable .

USER edpipe
VOLUME /data
CMD ["edpipe", "--help"]
