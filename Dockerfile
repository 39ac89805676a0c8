# `convergence serve` with its data in /data. BASE has Python 3.11 or later and pip; docs/deploy.md has more.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

# The lock is complete: nothing is resolved, and every file has its hash.
COPY infra/requirements/embedded.txt /tmp/embedded.txt
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement /tmp/embedded.txt && rm /tmp/embedded.txt

COPY pyproject.toml README.md LICENSE /src/
COPY configs /src/configs
COPY shared /src/shared
RUN pip install --no-cache-dir --no-deps --no-build-isolation /src \
    && cp -r /src/configs /configs \
    && rm -r /src \
    && useradd --uid 10001 --create-home --shell /usr/sbin/nologin convergence \
    && install --directory --mode 0700 --owner convergence /data

USER 10001
ENV CONVERGENCE_CONFIGS=/configs \
    CONVERGENCE_DATA_DIR=/data \
    PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8001/health', timeout=4)"]
ENTRYPOINT ["convergence"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8001"]
