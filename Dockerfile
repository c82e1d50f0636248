# One image for the server, the migrations and the workers; which it is says the command.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/windtunnel
ENV PATH=/opt/windtunnel/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# An index of torch builds, beside the usual one: that of the CPU builds makes a much smaller image.
ARG TORCH_INDEX=""
COPY constraints.txt ./
RUN pip install -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch==2.13.0
COPY pyproject.toml README.md ./
COPY hpo hpo
COPY store store
COPY workers workers
COPY service service
COPY migrations migrations
COPY windtunnel windtunnel
RUN pip install -c constraints.txt '.[server,worker,postgresql,celery]'

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 windtunnel && install -d -o windtunnel -g windtunnel /data
COPY --from=build /opt/windtunnel /opt/windtunnel
ENV PATH=/opt/windtunnel/bin:$PATH WINDTUNNEL_DATA_DIR=/data WINDTUNNEL_LOG_FORMAT=json
USER windtunnel
WORKDIR /home/windtunnel
VOLUME /data
STOPSIGNAL SIGTERM
CMD ["windtunnel", "serve"]
