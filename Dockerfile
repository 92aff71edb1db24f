# The engine with everything it needs, and a month of flights to try it on. Needs neither BuildKit nor root to run.
FROM python:3.13.7-slim-bookworm AS build

WORKDIR /build
RUN python3 -m venv /opt/penstock
# What others wrote, a layer of its own: it is made anew when the versions change, not with each line of ours.
COPY requirements/image.txt ./
RUN /opt/penstock/bin/pip install --no-cache-dir --require-hashes --requirement image.txt
COPY pyproject.toml README.md LICENSE ./
COPY engine ./engine
COPY exporter ./exporter
COPY dashboards ./dashboards
COPY penstock ./penstock
# The demo looks for its flights beside its code.
COPY examples/flights ./penstock/demo/flights
RUN /opt/penstock/bin/pip install --no-cache-dir --no-deps .


FROM python:3.13.7-slim-bookworm

RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin penstock \
 && install -d -o penstock -g penstock /data
COPY --from=build /opt/penstock /opt/penstock

ENV PATH=/opt/penstock/bin:$PATH \
    PYTHONUNBUFFERED=1
USER penstock
WORKDIR /opt/penstock
VOLUME /data
EXPOSE 9600 8600

HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 \
    CMD ["penstock", "health"]

ENTRYPOINT ["penstock"]
CMD ["demo", "--loop", "--no-tty", "--host", "0.0.0.0"]
