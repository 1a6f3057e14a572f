# Flows are not in the image: mount them at /flows, read-only.
#
#   docker build --tag gitops-flow-runner .
#   docker run --read-only --publish 8055:8055 --volume "$PWD/flows.d:/flows:ro" gitops-flow-runner
#
# tests/acceptance/test_wheel.py carries out these lines without a container engine.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY pyproject.toml README.md ./
COPY runner runner
COPY schemas schemas
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /dist .
# pip compiles the modules here, once: a read-only root could not keep what Python compiles later.
RUN python -m venv /opt/runner
RUN /opt/runner/bin/python -m pip install --no-cache-dir "$(echo /dist/*.whl)[all]"

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="gitops-flow-runner" \
      org.opencontainers.image.description="Runs flows that live as YAML files in git."
COPY --from=build /opt/runner /opt/runner
# A volume that is mounted here for the first time takes on the owner.
RUN install --directory --mode=0700 --owner=65532 --group=65532 /state
ENV PATH=/opt/runner/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    RUNNER_LISTEN=0.0.0.0:8055 \
    RUNNER_FLOWS=/flows \
    RUNNER_STATE=/state
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
VOLUME /state
EXPOSE 8055
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['RUNNER_LISTEN'].rpartition(':')[2] + '/livez', timeout=2)"]
# No shell in between: the runner is PID 1 and gets the signals itself.
ENTRYPOINT ["runner"]
CMD ["serve"]
