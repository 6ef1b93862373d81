# Two images: `--target agent` (root, with the distribution's bcc) and `--target aggregator` (no root, no compiler).
# What is in them is decided here, by requirements.lock and by the base: name that one by its digest
# (--build-arg BASE=debian:bookworm-slim@sha256:...) and fix the times (SOURCE_DATE_EPOCH) to make an image again.
ARG BASE=docker.io/library/debian:bookworm-slim

# Our code and the packages of the lock, for the distribution's Python: only that one has the distribution's bcc.
FROM ${BASE} AS build
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends python3-venv >/dev/null \
 && python3 -m venv /venv
COPY requirements.lock /
RUN /venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-deps \
    --only-binary :all: --target /plumbline/packages --requirement /requirements.lock \
 && rm -r /plumbline/packages/bin \
 && find /plumbline/packages -depth \( -type d -name tests -o -name '*.pyi' \) -exec rm -r {} +
COPY . /plumbline/
RUN mv /plumbline/protos/plumbline /plumbline/packages/ \
 && rm -r /plumbline/protos /plumbline/deploy /plumbline/requirements.lock \
 && printf '#!/usr/bin/python3\nfrom cli.__main__ import main\n\nmain()\n' > /usr/local/bin/plumb \
 && chmod 755 /usr/local/bin/plumb

# Roots are made whole, then copied as one layer: what is removed from a layer below would still be carried.
# Bytecode is checked against nothing: the file system is read-only, and its times are whatever the build gave them.
FROM ${BASE} AS agent-root
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends \
    python3 python3-bpfcc libbpf1 >/dev/null
COPY --from=build /usr/local/bin/plumb /usr/local/bin/plumb
COPY --from=build /plumbline /opt/plumbline
COPY deploy/image/slim /tmp/
RUN rm -r /opt/plumbline/aggregator /opt/plumbline/packages/networkx* /opt/plumbline/packages/aiohttp* \
    /opt/plumbline/packages/kubernetes* /opt/plumbline/packages/publicsuffixlist* && sh /tmp/slim

FROM ${BASE} AS aggregator-root
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends python3 >/dev/null \
 && mkdir -m 700 /var/lib/plumbline && chown 65532:65532 /var/lib/plumbline
COPY --from=build /usr/local/bin/plumb /usr/local/bin/plumb
COPY --from=build /plumbline /opt/plumbline
COPY deploy/image/slim /tmp/
RUN rm -r /opt/plumbline/agent /opt/plumbline/bpf /opt/plumbline/packages/pyroute2* \
    /opt/plumbline/packages/cryptography* /opt/plumbline/packages/*cffi* /opt/plumbline/packages/pycparser* && sh /tmp/slim

FROM scratch AS aggregator
COPY --from=aggregator-root / /
ENV PYTHONPATH=/opt/plumbline:/opt/plumbline/packages PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 7170 7171 7172
ENTRYPOINT ["/usr/local/bin/plumb"]
CMD ["aggregator", "--agents", "0.0.0.0:7170", "--grpc", "0.0.0.0:7171", "--http", "0.0.0.0:7172", "--insecure"]

FROM scratch AS agent
COPY --from=agent-root / /
ENV PYTHONPATH=/opt/plumbline:/opt/plumbline/packages PYTHONDONTWRITEBYTECODE=1
ENTRYPOINT ["/usr/local/bin/plumb"]
CMD ["agent"]
