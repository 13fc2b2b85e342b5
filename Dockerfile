# sipshop in a container: the demo, or a server of your own with -v for the data and another command.
#
#   docker build -t sipshop .
#   docker run --rm --network host -v sipshop-data:/var/lib/sipshop/data sipshop
#
# With a configuration of your own (conf/sipshop.yaml explains it; its listeners may not be 127.0.0.1 without --network
# host, and relative paths begin in /var/lib/sipshop):
#
#   docker run ... -v ./sipshop.yaml:/etc/sipshop/sipshop.yaml:ro -v ./world.yaml:/etc/sipshop/world.yaml:ro \
#     --ulimit nofile=65536 sipshop serve --config /etc/sipshop/sipshop.yaml
#
# --network host, because SIP and SDP carry addresses: behind Docker's NAT phones would be told an address that they
# cannot reach. With -p 5060:5060/udp -p 5060:5060/tcp -p 8080:8080 instead, --advertise has to name the host's address:
#
#   docker run ... sipshop demo --listen 0.0.0.0 --advertise 192.0.2.1
#
# Never built by CI, which has no Docker: if you change it, build it, and call through it once.

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/sipshop
WORKDIR /build
# The dependencies come first: a layer that stays while only our own code changes.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > needed.txt \
 && /opt/sipshop/bin/pip install --only-binary :all: --constraint constraints.txt --requirement needed.txt
COPY README.md LICENSE NOTICE ./
COPY sipshop sipshop
RUN /opt/sipshop/bin/pip install --no-deps .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/sipshop --create-home --shell /usr/sbin/nologin sipshop \
 && install -d -o sipshop -g sipshop /var/lib/sipshop/data
COPY --from=build /opt/sipshop /opt/sipshop
COPY conf /var/lib/sipshop/conf
# Where the health check asks; another place if `metrics.listen` or HTTPS say so.
ENV PATH=/opt/sipshop/bin:$PATH PYTHONUNBUFFERED=1 SIPSHOP_HEALTH_URL=http://127.0.0.1:8080/healthz
USER sipshop
WORKDIR /var/lib/sipshop
VOLUME /var/lib/sipshop/data
EXPOSE 5060/udp 5060/tcp 8080
# SIGTERM drains: calls that are up end first, as long as Docker waits (docker stop --time).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(os.environ['SIPSHOP_HEALTH_URL'], timeout=2)"]
ENTRYPOINT ["sipshop"]
CMD ["demo"]
